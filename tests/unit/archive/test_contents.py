"""Members with honest digests and hostile contents, and the codecs they go through."""

import io
import json
import pickle
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cascade_operator.archive.arrays import check_npz, dump_posterior, load_posterior
from cascade_operator.archive.documents import parse_json, parse_object
from cascade_operator.archive.errors import ArchiveError, MalformedError
from cascade_operator.archive.reader import read_archive
from cascade_operator.archive.tables import (
    dump_split,
    dump_trials,
)
from fakes.archives import (
    NODES,
    compress,
    entries_of,
    make_group,
    make_split,
    manifest_of,
    small_members,
    tar_bytes,
)

GROUP = "group_size_01/nodes_00/"


class Payload:
    def __reduce__(self):
        return (print, ("a pickle ran",))


def npy(array, **options):
    out = io.BytesIO()
    np.save(out, array, **options)
    return out.getvalue()


def npy_claiming(shape, dtype="<f8", body=b""):
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        out, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return out.getvalue() + body


def npz(**entries):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name.replace("__", "."), data)
    return out.getvalue()


def table(**columns):
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, use_dictionary=False, store_schema=False)
    return out.getvalue()


PICKLED = npy(np.array([Payload()], dtype=object), allow_pickle=True)
BAD_MEMBERS = {
    "config is no JSON": ("01_architecture_config.json", b"{", "is no valid JSON"),
    "config nests too deep": (
        "01_architecture_config.json",
        b"[" * 70 + b"]" * 70,
        "nests deeper than 64",
    ),
    "candidates are a pickle": ("44_candidates.json", pickle.dumps({}), "is no valid JSON"),
    "posterior is a pickle": (GROUP + "53_posterior.npy", PICKLED, r"objects \(a pickle\)"),
    "posterior is raw pickle": (GROUP + "53_posterior.npy", pickle.dumps(1), "no valid npy"),
    "posterior claims more": (
        GROUP + "53_posterior.npy",
        npy_claiming((3, 2), body=bytes(8)),
        "has 8 bytes of values, and its header says 48",
    ),
    "posterior claims a terabyte": (
        GROUP + "53_posterior.npy",
        npy_claiming((2**37, 2)),
        "has shape",
    ),
    "posterior of other records": (GROUP + "53_posterior.npy", npy(np.ones((4, 2))), "has shape"),
    "posterior of another type": (
        GROUP + "53_posterior.npy",
        npy(np.ones((3, 2), np.float32)),
        "type float32",
    ),
    "posterior with NaN": (
        GROUP + "53_posterior.npy",
        npy(np.full((3, 2), np.nan)),
        "no counts above 0",
    ),
    "posterior with zero": (
        GROUP + "53_posterior.npy",
        npy(np.zeros((3, 2))),
        "no counts above 0",
    ),
    "reducer is a pickle": ("14_reducer.npz", npz(a__npy=PICKLED), r"objects \(a pickle\)"),
    "reducer holds another file": ("14_reducer.npz", npz(a__pkl=b"x"), "that is no array"),
    "reducer is no zip": ("14_reducer.npz", b"PK", "no valid npz"),
    "reducer is a bomb": (
        "14_reducer.npz",
        npz(a__npy=npy_claiming((2**40,))),
        "has 0 bytes of values",
    ),
    "mapping of another group": (
        GROUP + "59_node_chain_mapping.json",
        b'{"10":"agent"}',
        "names no node for each",
    ),
    "mapping names too many": (
        GROUP + "59_node_chain_mapping.json",
        b'{"00":"a","10":"b"}',
        "names no node for each",
    ),
    "mapping names a path": (
        GROUP + "59_node_chain_mapping.json",
        b'{"00":"../a"}',
        "names no node for each",
    ),
    "result is a list": (GROUP + "61_result.json", b"[]", "no object"),
    "result without figures": (GROUP + "61_result.json", b'{"progressive":false}', "contradicts"),
    "timeline is a list": ("62_timeline.json", b"[]", "no object"),
    "timeline nests too deep": (
        "62_timeline.json",
        b'{"a":' * 66 + b"1" + b"}" * 66,
        "nests deeper than 64",
    ),
    "split is no Parquet": ("11_split.parquet", b"PAR1" * 10, "no valid Parquet table"),
    "split of other columns": ("11_split.parquet", table(a=[1]), "has other columns"),
    "split with an unknown part": (
        "11_split.parquet",
        dump_split([*make_split()[:3], type(make_split()[0])("x", "h", "test")]),
        "a split that does not exist: 'test'",
    ),
    "split with a record twice": (
        "11_split.parquet",
        dump_split([*make_split(), make_split()[0]]),
        "holds a record twice",
    ),
    "trials in place of a matrix": (
        f"54_io_matrix/{NODES[0]}.parquet",
        dump_trials(make_group("00").trials),
        "has other columns",
    ),
}


@pytest.mark.parametrize(("name", "data", "message"), BAD_MEMBERS.values(), ids=BAD_MEMBERS.keys())
def test_hostile_contents_are_refused_by_name(tmp_path, decoder, capfd, name, data, message):
    files = small_members() | {name: data}
    path = tmp_path / "a.tar.zst"
    path.write_bytes(compress(tar_bytes(entries_of(files, manifest_of(files)))))
    with pytest.raises(ArchiveError, match=message) as caught:
        read_archive(path, decoder=decoder)
    assert caught.value.member == name
    assert "a pickle ran" not in capfd.readouterr().out


@pytest.mark.parametrize(
    "name",
    ["01_architecture_config.json", "11_split.parquet", "44_candidates.json"]
    + [GROUP + file for file in ("49_checkpoint.json", "53_posterior.npy", "61_result.json")],
)
def test_a_missing_member_is_named(tmp_path, decoder, name):
    files = small_members()
    del files[name]
    path = tmp_path / "a.tar.zst"
    path.write_bytes(compress(tar_bytes(entries_of(files, manifest_of(files)))))
    with pytest.raises(ArchiveError, match="is missing") as caught:
        read_archive(path, decoder=decoder)
    assert caught.value.member == name


JSON_CASES = {
    "repeated key": (b'{"a":1,"a":2}', "stands twice"),
    "NaN": (b"[NaN]", "no JSON number"),
    "infinity": (b"[-Infinity]", "no JSON number"),
    "not UTF-8": (b'"\xff"', "no valid JSON"),
    "recursion": (b"[" * 200_000, r"no valid JSON|nests deeper"),
    "deep objects": (b'{"a":' * 66 + b"1" + b"}" * 66, "nests deeper"),
    "huge number": (b"1" * 5000, "no valid JSON"),
}


@pytest.mark.parametrize(("data", "message"), JSON_CASES.values(), ids=JSON_CASES.keys())
def test_json_outside_the_bounds_is_refused(data, message):
    with pytest.raises(MalformedError, match=message):
        parse_json(data)


def test_json_at_the_deepest_level_is_read():
    assert parse_json(b"[" * 65 + b"]" * 65) == json.loads("[" * 65 + "]" * 65)
    assert parse_object(b'{"a":[1]}') == {"a": [1]}


def test_a_posterior_is_stored_row_by_row():
    posterior = np.asfortranarray(np.arange(1.0, 7.0).reshape(3, 2))
    assert dump_posterior(posterior) == npy(np.ascontiguousarray(posterior))
    np.testing.assert_array_equal(load_posterior(dump_posterior(posterior), 3), posterior)


def test_a_posterior_of_an_empty_split_is_read():
    assert load_posterior(dump_posterior(np.ones((0, 2))), 0).shape == (0, 2)


def test_an_npz_is_bounded_in_entries_and_bytes():
    with pytest.raises(MalformedError, match="holds 300 arrays"):
        check_npz(npz(**{f"a{i}__npy": npy(np.ones(1)) for i in range(300)}))
    check_npz(npz(a__npy=npy(np.ones((2, 2))), b__npy=npy(np.array("UMAP"))))
