"""Archives as they reach the volume: reproducible, whole or absent, and restored as they were."""

import errno
import hashlib
import os
import resource
import stat
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cascade_operator.api.archive_spec import Compression
from cascade_operator.api.errors import ArchiveWriteError
from cascade_operator.api.exit_codes import ExitCode
from cascade_operator.archive.encoding import encode
from cascade_operator.archive.errors import ArchiveError
from cascade_operator.archive.model import NodeMatrices, SplitRow, TrialRow, combine
from cascade_operator.archive.reader import read_archive, read_document, verify_archive
from cascade_operator.archive.writer import write_archive, write_archives
from fakes.archives import NODES, SESSION_ID, make_group, make_matrices, make_run, make_split


def names_in(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("form", list(Compression))
def test_a_run_becomes_one_file_a_size(tmp_path, form, decoder):
    run = make_run(["00_10", "00", "10"])
    files = write_archives(run, tmp_path, form, decoder=decoder)
    ending = "tar.zst" if form is Compression.ZSTD else "tar.gz"
    assert [f.path for f in files] == [
        f"team-a/support/{SESSION_ID}_size01.{ending}",
        f"team-a/support/{SESSION_ID}_size02.{ending}",
    ]
    assert [f.group_size for f in files] == [1, 2]
    for file in files:
        raw = (tmp_path / file.path).read_bytes()
        assert (file.sha256, file.bytes) == (hashlib.sha256(raw).hexdigest(), len(raw))
    assert names_in(tmp_path) == [f.path for f in files]
    reports = [verify_archive(tmp_path / f.path, decoder=decoder) for f in files]
    assert [r.groups for r in reports] == [("00", "10"), ("00_10",)]
    assert all(r.ok and r.size > 0 and not r.progressive for r in reports)


@pytest.mark.parametrize("form", list(Compression))
def test_the_same_run_gives_the_same_bytes(tmp_path, form, decoder):
    run = make_run()
    other = replace(
        run,
        groups=dict(reversed(run.groups.items())),
        io_matrices=dict(reversed(run.io_matrices.items())),
    )
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first = write_archives(run, tmp_path / "a", form, decoder=decoder)
    second = write_archives(other, tmp_path / "b", form, decoder=decoder)
    assert first == second
    for file in first:
        assert (tmp_path / "a" / file.path).read_bytes() == (
            tmp_path / "b" / file.path
        ).read_bytes()


def test_a_run_without_groups_keeps_its_pool_in_a_file_of_size_0(tmp_path, decoder):
    (file,) = write_archives(make_run([], progressive=True), tmp_path, decoder=decoder)
    assert file.path.endswith("_size00.tar.zst")
    back = read_archive(tmp_path / file.path, decoder=decoder)
    assert (back.groups, back.progressive, back.sizes) == ({}, True, (0,))
    assert back.candidates_json == b'{"pool":{}}'


def test_the_final_archive_takes_the_progressive_ones_place(tmp_path, decoder):
    run = make_run(["00"], progressive=True)
    unfinished = replace(
        run, groups={"00": replace(run.groups["00"], program_json=None, result={})}
    )
    (first,) = write_archives(unfinished, tmp_path, decoder=decoder)
    back = read_archive(tmp_path / first.path, decoder=decoder)
    assert back.progressive
    assert back.groups["00"].program_json is None
    (second,) = write_archives(make_run(["00"]), tmp_path, decoder=decoder)
    assert second.path == first.path
    assert not read_archive(tmp_path / second.path, decoder=decoder).progressive
    assert names_in(tmp_path) == [second.path]


def test_a_change_of_form_leaves_one_file(tmp_path, decoder):
    write_archives(make_run(["00"]), tmp_path, Compression.GZIP, decoder=decoder)
    (file,) = write_archives(make_run(["00"]), tmp_path, Compression.ZSTD, decoder=decoder)
    assert names_in(tmp_path) == [file.path]


def test_what_a_killed_writer_left_is_removed_and_other_files_stay(tmp_path, decoder):
    folder = tmp_path / "team-a" / "support"
    folder.mkdir(parents=True)
    stale = folder / f".{SESSION_ID}_size01.tar.zst.0badcafe.partial"
    foreign = folder / ".other.partial"
    for path in (stale, foreign):
        path.write_bytes(b"x")
    write_archives(make_run(["00"]), tmp_path, decoder=decoder)
    assert not stale.exists()
    assert foreign.exists()


ERRORS = {
    "full": (errno.ENOSPC, "No space left", "archive.retain"),
    "quota": (errno.EDQUOT, "quota", "archive.retain"),
    "read-only": (errno.EROFS, "Read-only", "writable"),
    "forbidden": (errno.EACCES, "Permission denied", "fsGroup"),
    "broken": (errno.EIO, "Input/output error", "I/O error"),
    "other": (errno.ENODEV, "No such device", "volume"),
}


@pytest.mark.parametrize(("code", "message", "mend"), ERRORS.values(), ids=ERRORS.keys())
def test_a_volume_that_refuses_is_named_and_left_clean(
    tmp_path, monkeypatch, code, message, mend, decoder
):
    (old,) = write_archives(make_run(["00"], progressive=True), tmp_path, decoder=decoder)
    before = (tmp_path / old.path).read_bytes()

    def refuse(handle):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(ArchiveWriteError, match=message) as caught:
        write_archives(make_run(["00"]), tmp_path, decoder=decoder)
    assert str(tmp_path / old.path) in str(caught.value)
    assert mend in caught.value.mend
    assert caught.value.exit_code == ExitCode.ARCHIVE_WRITE
    assert names_in(tmp_path) == [old.path]
    assert (tmp_path / old.path).read_bytes() == before


@pytest.mark.parametrize("form", list(Compression))
def test_a_write_that_fails_halfway_leaves_nothing(tmp_path, form, decoder):
    run = make_run(["00"], reducer_npz=None)
    noise = np.random.default_rng(0).normal(size=(6, 4096)).astype(np.float16)
    ids = tuple(row.record_id for row in run.split)
    run = replace(run, io_matrices={NODES[0]: NodeMatrices(ids, noise, noise, noise, noise)})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(ArchiveWriteError, match="File too large"):
            write_archives(run, tmp_path, form, decoder=decoder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names_in(tmp_path) == []


def test_a_stop_in_the_middle_leaves_nothing(tmp_path, monkeypatch, decoder):
    class Stop(BaseException):
        pass

    def stop(handle):
        raise Stop

    (tmp_path / "team-a" / "support").mkdir(parents=True)
    original = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda h: original(h) if stat.S_ISDIR(os.fstat(h).st_mode) else stop(h)
    )
    with pytest.raises(Stop):
        write_archives(make_run(["00"]), tmp_path, decoder=decoder)
    assert names_in(tmp_path) == []


def test_a_missing_volume_is_not_made_up(tmp_path, decoder):
    with pytest.raises(ArchiveWriteError, match="folder does not exist"):
        write_archives(make_run(["00"]), tmp_path / "not-mounted", decoder=decoder)
    assert not (tmp_path / "not-mounted").exists()


def test_a_link_out_of_the_volume_is_not_followed(tmp_path, decoder):
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "team-a").symlink_to(outside)
    with pytest.raises(ArchiveWriteError, match="a link leads out"):
        write_archives(make_run(["00"]), root, decoder=decoder)
    assert names_in(outside) == []


@pytest.mark.parametrize(
    "change",
    [{"namespace": ".."}, {"session": "a/b"}, {"session": "a..b"}, {"session_id": "latest"}],
    ids=lambda change: next(iter(change)),
)
def test_a_name_that_could_leave_the_folder_is_refused(tmp_path, change, decoder):
    with pytest.raises(ArchiveError, match="no name a folder of archives can have"):
        write_archives(make_run(["00"], **change), tmp_path, decoder=decoder)
    assert names_in(tmp_path) == []


def test_a_run_that_would_not_read_back_is_not_written(tmp_path, decoder):
    wrong = make_group("00", validation=9)
    with pytest.raises(ArchiveWriteError, match=r"does not read back.*53_posterior.npy"):
        write_archives(make_run(groups={"00": wrong}), tmp_path, decoder=decoder)
    assert names_in(tmp_path) == []


def test_a_member_too_large_to_read_back_is_refused(tmp_path, decoder):
    with pytest.raises(ArchiveError, match=r"01_architecture_config\.json: holds 1048577 bytes"):
        write_archives(make_run(["00"], config_json=b" " * (2**20 + 1)), tmp_path, decoder=decoder)
    assert names_in(tmp_path) == []


def test_a_node_name_no_member_can_carry_is_refused(tmp_path, decoder):
    run = make_run(["00"], io_matrices={"../x": make_matrices(["a"])})
    with pytest.raises(ArchiveError, match="no archive has a member of this name"):
        write_archives(run, tmp_path, decoder=decoder)


def test_the_files_of_a_run_join_to_the_run(tmp_path, decoder):
    run = make_run()
    files = write_archives(run, tmp_path, decoder=decoder)
    joined = combine([read_archive(tmp_path / f.path, decoder=decoder) for f in files])
    assert list(joined.groups) == ["00", "10", "00_10"]
    assert joined.sizes == (1, 2)
    assert joined.group_size == 0
    assert encode(joined) == encode(run)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"session_id": "20270101T000000Z"}, "session_id differs"),
        ({"candidates_json": b"{}"}, "candidates_json differs"),
        ({"split": make_split(4)}, "split differs"),
        ({}, "holds a group again: 00"),
    ],
)
def test_files_of_two_runs_do_not_join(change, message, decoder):
    with pytest.raises(ArchiveError, match=message):
        combine([make_run(["00"]), make_run(["00"], **change)])


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
JSON_BYTES = st.sampled_from([b"{}", b"[1]", b'{"a":{"b":"\\u00e9"}}'])


@st.composite
def runs(draw):
    ids = draw(st.lists(TEXT, min_size=1, max_size=5, unique=True))
    names = [draw(st.sampled_from(["training", "validation", "heldOut"])) for _ in ids]
    split = tuple(SplitRow(i, draw(TEXT), n) for i, n in zip(ids, names, strict=True))
    rows = names.count("validation")
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    keys = draw(st.lists(st.sampled_from(["00", "10", "20"]), unique=True, max_size=3))
    trials = st.builds(
        TrialRow,
        st.integers(0, 9),
        st.dictionaries(TEXT, st.integers(0, 9), max_size=2),
        st.floats(0, 1),
        st.sampled_from(["whole", "minibatch"]),
        st.integers(0, 9),
        st.integers(0, 9),
        TEXT,
    )
    groups = {
        key: make_group(
            key,
            posterior=rng.uniform(0.5, 9, (rows, 2)),
            trials=tuple(draw(st.lists(trials, max_size=3))),
            checkpoint_json=draw(JSON_BYTES),
            program_json=draw(st.none() | JSON_BYTES),
            result=draw(st.dictionaries(TEXT, st.integers() | TEXT, max_size=2)),
        )
        for key in keys
    }
    nodes = draw(st.lists(st.sampled_from(NODES), unique=True, max_size=2))
    return make_run(
        split=split,
        groups=groups,
        io_matrices={n: make_matrices(ids, 3, validated=draw(st.booleans())) for n in nodes},
        progressive=draw(st.booleans()),
        recipe=draw(st.sampled_from(["", "minilm/256"])),
        reducer_npz=None,
    )


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(run=runs(), form=st.sampled_from(list(Compression)))
def test_what_is_written_is_what_is_read(tmp_path_factory, decoder, run, form):
    root = tmp_path_factory.mktemp("volume")
    part = run.of_size(1 if run.groups else 0, [1 if run.groups else 0])
    file = write_archive(part, root, form, decoder=decoder)
    back = read_archive(root / file.path, decoder=decoder)
    for name in ("config_json", "session_id", "namespace", "session", "progressive", "split"):
        assert getattr(back, name) == getattr(run, name)
    assert (back.recipe, back.validation_ids) == (run.recipe, run.validation_ids)
    assert list(back.groups) == sorted(run.groups)
    for key, group in run.groups.items():
        np.testing.assert_array_equal(back.groups[key].posterior, group.posterior)
        for name in ("nodes", "trials", "program_json", "checkpoint_json", "result", "mapping"):
            assert getattr(back.groups[key], name) == getattr(group, name)
    for node, matrices in run.io_matrices.items():
        assert back.io_matrices[node].record_ids == matrices.record_ids
        np.testing.assert_array_equal(back.io_matrices[node].out_raw, matrices.out_raw)
    assert encode(back) == encode(part)


def test_one_document_is_read_without_the_rest(tmp_path, decoder):
    documents = {"65_estimate.json": b'{"version":1}', "62_timeline.json": b'{"jobs":[]}'}
    write_archives(make_run(["00"], documents=documents), tmp_path, decoder=decoder)
    (file,) = (one for one in tmp_path.rglob("*") if one.is_file())
    assert read_document(file, "65_estimate.json") == b'{"version":1}'
    assert read_document(file, "18_records.json") is None
    file.write_bytes(b"\0" * 100)
    with pytest.raises(ArchiveError):
        read_document(file, "65_estimate.json")
