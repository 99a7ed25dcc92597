"""Tables in an archive: what this program writes, and nothing else, comes back."""

import io
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cascade_operator.archive.errors import MalformedError
from cascade_operator.archive.members import Limits
from cascade_operator.archive.rows import node_matrices, split_rows, trial_rows
from cascade_operator.archive.tables import (
    TableKind,
    dump_matrices,
    dump_split,
    dump_trials,
    read_columns,
)
from fakes.archives import make_group, make_matrices, make_split

LIMITS = Limits()


@pytest.mark.parametrize("validated", [False, True], ids=["plain", "validated"])
def test_matrices_come_back_bit_for_bit(decoder, validated):
    matrices = make_matrices([f"r{i}" for i in range(7)], validated=validated)
    data = dump_matrices(matrices)
    back = node_matrices(decoder.decode(TableKind.MATRICES, data, LIMITS))
    assert back.record_ids == matrices.record_ids
    for name in ("in_red", "in_raw", "out_red", "out_raw", "validated_raw"):
        ours, theirs = getattr(matrices, name), getattr(back, name)
        if ours is None:
            assert theirs is None
        else:
            assert theirs.dtype == np.float16
            np.testing.assert_array_equal(theirs, ours)


def test_matrices_use_byte_stream_split_and_no_dictionary():
    meta = pq.ParquetFile(io.BytesIO(dump_matrices(make_matrices(["a", "b"])))).metadata
    encodings = [set(meta.row_group(0).column(i).encodings) for i in range(meta.num_columns)]
    assert encodings[0] <= {"PLAIN", "RLE"}
    assert all("BYTE_STREAM_SPLIT" in used for used in encodings[1:])
    assert {meta.row_group(0).column(i).compression for i in range(meta.num_columns)} == {"ZSTD"}


@pytest.mark.parametrize(
    "change",
    [{"in_red": np.ones((1, 4), np.float16)}, {"out_raw": np.ones((2, 0), np.float16)}],
    ids=["too few rows", "no dimensions"],
)
def test_matrices_that_do_not_fit_their_records_are_not_written(change):
    with pytest.raises(MalformedError, match="has shape"):
        dump_matrices(replace(make_matrices(["a", "b"]), **change))


def vectors(*rows, kind=None):
    return pa.array(rows, kind or pa.list_(pa.field("element", pa.float16(), nullable=False)))


def matrix_table(rows=2, **changes):
    half = vectors(*[[np.float16(1)] * 2] * rows)
    columns = {"record_id": [f"r{i}" for i in range(rows)]}
    columns |= dict.fromkeys(("in_red", "in_raw", "out_red", "out_raw"), half)
    columns |= changes
    kinds = {"record_id": pa.string()}
    arrays = [
        values if isinstance(values, pa.Array) else pa.array(values, kinds[name])
        for name, values in columns.items()
    ]
    schema = pa.schema(
        [
            pa.field(name, array.type, nullable=bool(array.null_count))
            for name, array in zip(columns, arrays, strict=True)
        ]
    )
    return pa.table(arrays, schema=schema)


def written(rows, **options):
    out = io.BytesIO()
    pq.write_table(
        rows, out, store_schema=False, **{"use_dictionary": False, "compression": "zstd", **options}
    )
    return out.getvalue()


HOSTILE_TABLES = {
    "rows of unequal length": (
        written(matrix_table(in_red=vectors([np.float16(1)], [np.float16(1)] * 2))),
        "unequal or impossible length",
    ),
    "empty rows": (written(matrix_table(in_red=vectors([], []))), "unequal or impossible length"),
    "an empty cell": (written(matrix_table(record_id=["a", None])), "has other columns"),
    "float32": (
        written(matrix_table(in_red=pa.array([[1.0], [1.0]], pa.list_(pa.float32())))),
        "has other columns",
    ),
    "too many dimensions": (
        written(matrix_table(in_red=vectors(*[[np.float16(0)] * 9] * 2))),
        "more values than its rows can hold|unequal or impossible",
    ),
    "too many rows": (written(matrix_table(rows=20)), "has 20 rows; at most 10"),
    "a dictionary": (written(matrix_table(), use_dictionary=True), "an encoding that no archive"),
    "another codec": (written(matrix_table(), compression="gzip"), "an encoding that no archive"),
    "a record twice": (written(matrix_table(record_id=["a", "a"])), "holds a record twice"),
}


@pytest.mark.parametrize(("data", "message"), HOSTILE_TABLES.values(), ids=HOSTILE_TABLES.keys())
def test_a_table_this_program_would_not_write_is_refused(decoder, data, message):
    with pytest.raises(MalformedError, match=message):
        node_matrices(decoder.decode(TableKind.MATRICES, data, Limits(rows=10, dimensions=8)))


def test_a_table_on_which_pyarrow_aborts_is_refused_and_the_next_is_read(decoder):
    data = dump_split(make_split())
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    # Damaged codecs in the footer make pyarrow call abort(): found by changing single bytes.
    outcomes = set()
    for place in range(footer, footer + 260):
        damaged = bytearray(data)
        damaged[place] ^= 0x55
        try:
            split_rows(decoder.decode(TableKind.SPLIT, bytes(damaged), LIMITS))
        except MalformedError as error:
            outcomes.add("decoder" if "ended the decoder (-6)" in str(error) else "refused")
    assert outcomes == {"decoder", "refused"}
    assert split_rows(decoder.decode(TableKind.SPLIT, data, LIMITS)) == make_split()


def test_a_table_of_several_row_groups_is_joined():
    out = io.BytesIO()
    pq.write_table(
        matrix_table(rows=6), out, row_group_size=2, use_dictionary=False, compression="zstd"
    )
    columns = read_columns(TableKind.MATRICES, out.getvalue(), LIMITS)
    assert columns["in_red"].shape == (6, 2)


def test_trials_come_back(decoder):
    trials = make_group("00_10").trials
    assert trial_rows(decoder.decode(TableKind.TRIALS, dump_trials(trials), LIMITS)) == trials
    assert trial_rows(decoder.decode(TableKind.TRIALS, dump_trials(()), LIMITS)) == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"choice": {"a": "0"}}, "index below 0"),
        ({"choice": {"a": -1}}, "index below 0"),
        ({"number": -1}, "index below 0"),
        ({"kind": "half"}, "cannot be"),
        ({"score": float("nan")}, "cannot be"),
    ],
)
def test_a_trial_that_cannot_be_is_refused(change, message):
    data = dump_trials([replace(make_group("00").trials[0], **change)])
    with pytest.raises(MalformedError, match=message):
        trial_rows(read_columns(TableKind.TRIALS, data, LIMITS))
