"""Hostile archives, each put together by hand: every one ends in an error that names it."""

import json
import os
import tarfile
import tracemalloc

import pytest
import zstandard

from cascade_operator.api.errors import DataError
from cascade_operator.archive.container import open_archive, read_manifest
from cascade_operator.archive.errors import ArchiveError
from cascade_operator.archive.members import Limits
from cascade_operator.archive.reader import list_members, read_archive
from fakes.archives import (
    compress,
    entries_of,
    manifest_of,
    small_members,
    tar_bytes,
    tar_entry,
)

MEMBERS = small_members()
CONFIG = "01_architecture_config.json"
PAX_COMMENT = b"15 comment=boo\n"


@pytest.fixture
def archive(tmp_path):
    def write(data: bytes):
        path = tmp_path / "hostile.tar.zst"
        path.write_bytes(data)
        return path

    return write


def with_extra(*extra, files=MEMBERS, **changes):
    """A small archive's tar, with more entries at its end or another manifest."""
    return tar_bytes([*entries_of(files, manifest_of(files, **changes)), *extra])


def test_an_honest_archive_built_by_hand_is_read(archive):
    run = read_archive(archive(compress(with_extra())))
    assert list(run.groups) == ["00"]
    assert run.groups["00"].result == {"group": "00", "score": 0.75}


STRANGE = {
    "parent folder": (tar_entry("../../etc/passwd", b"x"), "no archive has a member"),
    "parent folder within": (
        tar_entry("54_io_matrix/../../x.parquet", b"x"),
        "no archive has a member",
    ),
    "absolute": (tar_entry("/etc/passwd", b"x"), "no archive has a member"),
    "leading dot": (tar_entry("./" + CONFIG, b"{}"), "no archive has a member"),
    "dots as node": (tar_entry("54_io_matrix/a..b.parquet", b"x"), "no archive has a member"),
    "unknown": (tar_entry("01_architecture_config.pkl", b"x"), "no archive has a member"),
    "control characters": (tar_entry("a\n\x1b[31m", b"x"), r"member a\\n\\x1b"),
    "size unlike its key": (
        tar_entry("group_size_02/nodes_00/58_program.json", b"{}"),
        "no archive has a member",
    ),
    "symbolic link": (
        tar_entry(CONFIG, type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        "is a symbolic link",
    ),
    "hard link": (
        tar_entry(CONFIG, type=tarfile.LNKTYPE, linkname="manifest.json"),
        "is a hard link",
    ),
    "character device": (
        tar_entry(CONFIG, type=tarfile.CHRTYPE, devmajor=1, devminor=3),
        "is a character device",
    ),
    "block device": (tar_entry(CONFIG, type=tarfile.BLKTYPE), "is a block device"),
    "fifo": (tar_entry(CONFIG, type=tarfile.FIFOTYPE), "is a FIFO"),
    "folder": (tar_entry("54_io_matrix/", type=tarfile.DIRTYPE), "is a folder"),
    "old-style folder": (tar_entry(CONFIG + "/", type=tarfile.AREGTYPE), "is a folder"),
    "sparse": (tar_entry(CONFIG, type=tarfile.GNUTYPE_SPARSE), "is a sparse file"),
    "contiguous": (tar_entry(CONFIG, type=tarfile.CONTTYPE), "of an unknown type"),
    "pax header": (
        tar_entry("PaxHeaders/x", PAX_COMMENT, type=tarfile.XHDTYPE),
        "is an extended header",
    ),
    "global pax header": (
        tar_entry("pax_global_header", PAX_COMMENT, type=tarfile.XGLTYPE),
        "is an extended header",
    ),
    "gnu long name": (
        tar_entry("././@LongLink", b"../../x\0", type=tarfile.GNUTYPE_LONGNAME),
        "is an extended header",
    ),
    "unlisted": (tar_entry("14_reducer.npz", b"x"), "is not in the manifest"),
    "duplicated": (tar_entry(CONFIG, b'{"version":1}'), "stands in the archive twice"),
    "second manifest": (tar_entry("manifest.json", b"{}"), "stands in the archive twice"),
    "claims a terabyte": (
        tar_entry("44_candidates.json", size=2**40),
        "claims 1099511627776 bytes",
    ),
    "claims less than nothing": (tar_entry("44_candidates.json", size=-512), "claims -512 bytes"),
}


@pytest.mark.parametrize(("entry", "message"), STRANGE.values(), ids=STRANGE.keys())
def test_a_strange_entry_is_refused(archive, entry, message):
    members = {name: data for name, data in MEMBERS.items() if name != "14_reducer.npz"}
    path = archive(compress(with_extra(entry, files=members)))
    with pytest.raises(ArchiveError, match=message) as caught:
        read_archive(path)
    assert isinstance(caught.value, DataError)
    assert str(path) in str(caught.value)
    assert caught.value.mend
    assert "\x1b" not in str(caught.value)


LYING = {
    "wrong digest": (
        {CONFIG: {"size": len(MEMBERS[CONFIG]), "sha256": "0" * 64}},
        "does not match its SHA-256",
    ),
    "wrong size": (
        {CONFIG: {"size": 1, "sha256": "0" * 64}},
        "has 13 bytes, and the manifest says 1",
    ),
    "lists what is not there": (
        {"group_size_01/nodes_10/58_program.json": {"size": 1, "sha256": "0" * 64}},
        "is in the manifest, but not in the archive",
    ),
    "lists an unknown name": ({"../x": {"size": 1, "sha256": "0" * 64}}, "no archive has"),
    "lists itself too large": (
        {CONFIG: {"size": 2**21, "sha256": "0" * 64}},
        "no valid size of 01_arch",
    ),
    "size is a text": ({CONFIG: {"size": "13", "sha256": "0" * 64}}, "no valid size of"),
    "size is true": ({CONFIG: {"size": True, "sha256": "0" * 64}}, "no valid size of"),
    "digest is short": ({CONFIG: {"size": 13, "sha256": "00"}}, "no valid sha256"),
    "says nothing": ({CONFIG: None}, "says nothing of"),
}


@pytest.mark.parametrize(("lies", "message"), LYING.values(), ids=LYING.keys())
def test_a_lying_list_of_members_is_refused(archive, lies, message):
    listed = json.loads(manifest_of(MEMBERS))["members"] | lies
    path = archive(compress(with_extra(members=listed)))
    with pytest.raises(ArchiveError, match=message):
        read_archive(path)


HEADS = {
    "format": ({"format": "zip"}, "not of the format"),
    "version": ({"version": 2}, "format version 2"),
    "session id": ({"sessionId": "../x"}, "no valid sessionId"),
    "namespace": ({"namespace": ".."}, "no valid namespace"),
    "session": ({"session": "a/b"}, "no valid session"),
    "group size": ({"groupSize": 99}, "no valid groupSize"),
    "sizes": ({"sizes": [2]}, "its own group size"),
    "flag": ({"progressive": 1}, "no valid progressive"),
    "flag unlike the results": ({"progressive": True}, "contradicts the manifest"),
    "size unlike the groups": ({"groupSize": 2, "sizes": [2]}, "is of a group of 1"),
    "members": ({"members": []}, "no valid members"),
}


@pytest.mark.parametrize(("change", "message"), HEADS.values(), ids=HEADS.keys())
def test_a_manifest_that_cannot_be_is_refused(archive, change, message):
    with pytest.raises(ArchiveError, match=message):
        read_archive(archive(compress(with_extra(**change))))


def test_too_many_members_are_refused_before_any_is_read(archive):
    many = {f"54_io_matrix/n{i}.parquet": b"" for i in range(2000)}
    path = archive(compress(tar_bytes(entries_of(many))))
    with pytest.raises(ArchiveError, match="lists 2000 members; at most 1024"):
        read_manifest(path)


SHAPES = {
    "empty file": (b"", "neither a zstd nor a gzip"),
    "zip": (b"PK\x03\x04" + bytes(100), "neither a zstd nor a gzip"),
    "plain tar": (with_extra(), "neither a zstd nor a gzip"),
    "nothing inside": (compress(b""), "truncated"),
    "zeros inside": (compress(bytes(10240)), "does not begin with manifest.json"),
    "noise inside": (compress(b"\xff" * 1024), "damaged tar header"),
    "manifest not first": (
        compress(tar_bytes(entries_of(MEMBERS)[::-1])),
        "does not begin with manifest.json",
    ),
    "no manifest": (
        compress(tar_bytes([tar_entry(CONFIG, b"{}")])),
        "does not begin with manifest.json",
    ),
    "garbage after the tar": (
        compress(with_extra() + b"more".ljust(512)),
        "goes on after its last member",
    ),
    "second tar": (compress(with_extra() * 2), "goes on after its last member"),
    "endless padding": (compress(with_extra() + bytes(2**20)), "goes on after its last member"),
    "garbage after the frame": (compress(with_extra()) + b"x", "after its zstd frame"),
    "second frame": (compress(with_extra()) * 2, "after its zstd frame"),
    "skippable frame after": (
        compress(with_extra()) + b"\x50\x2a\x4d\x18\x01\0\0\0x",
        "after its zstd frame",
    ),
    "garbage after gzip": (compress(with_extra(), "Gzip") + b"x", "after its gzip member"),
    "second gzip member": (compress(with_extra(), "Gzip") * 2, "after its gzip member"),
    "bytes in the padding": (
        compress(with_extra().replace(b'{"version":1}\0', b'{"version":1}!')),
        "where its padding should be",
    ),
}


@pytest.mark.parametrize(("data", "message"), SHAPES.values(), ids=SHAPES.keys())
def test_a_file_of_another_shape_is_refused(archive, data, message):
    with pytest.raises(ArchiveError, match=message):
        read_archive(archive(data))


@pytest.mark.parametrize("form", ["Zstd", "Gzip"])
@pytest.mark.parametrize("part", [0.001, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1.0])
def test_a_truncated_file_is_refused(archive, form, part):
    whole = compress(with_extra(), form)
    path = archive(whole[: min(len(whole) - 1, max(5, int(len(whole) * part)))])
    with pytest.raises(ArchiveError, match=r"truncated|damaged"):
        read_archive(path)


@pytest.mark.parametrize("left", [0, 100, 512, 1000, 2048, 5000, -1500, -1024, -600])
def test_a_tar_truncated_before_compression_is_refused(archive, left):
    with pytest.raises(ArchiveError, match="truncated"):
        read_archive(archive(compress(tar_bytes(entries_of(MEMBERS), end=b"")[:left])))


@pytest.mark.parametrize("form", ["Zstd", "Gzip"])
def test_a_bomb_is_refused_without_being_held_in_memory(archive, form):
    bomb = {**MEMBERS, "14_reducer.npz": bytes(64 * 2**20)}
    path = archive(compress(tar_bytes(entries_of(bomb)), form))
    assert path.stat().st_size < 2**20
    del bomb
    tracemalloc.start()
    try:
        with pytest.raises(ArchiveError, match="decompresses to more than 1048576 bytes"):
            read_archive(path, Limits(total_bytes=2**20))
        assert tracemalloc.get_traced_memory()[1] < 48 * 2**20
    finally:
        tracemalloc.stop()


def test_a_frame_that_asks_for_a_huge_window_is_refused(archive):
    wide = zstandard.ZstdCompressionParameters.from_level(3, window_log=27)
    data = tar_bytes([*entries_of(MEMBERS), tar_entry("x", bytes(140 * 2**20))])
    path = archive(zstandard.ZstdCompressor(compression_params=wide).compress(data))
    with pytest.raises(ArchiveError, match="too much memory"):
        read_archive(path)


def test_a_member_bound_of_the_readers_own_holds(archive):
    with pytest.raises(ArchiveError, match="at most 100 are read"):
        read_archive(archive(compress(with_extra())), Limits(member_bytes=100))


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["fifo", "folder"])
def test_what_is_no_file_is_refused_at_once(tmp_path, make):
    path = tmp_path / "odd.tar.zst"
    make(path)
    with pytest.raises(ArchiveError, match=r"no regular file|cannot be read"):
        read_archive(path)


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(ArchiveError, match="no such file") as caught:
        read_archive(tmp_path / "gone.tar.zst")
    assert "archive ls" in caught.value.mend


def test_a_pass_that_stops_early_leaves_no_error(archive):
    with open_archive(archive(compress(with_extra()))) as opened:
        assert next(opened.members()).name == CONFIG


def test_members_are_listed_in_order_with_their_digests(archive):
    path = archive(compress(with_extra()))
    listed = list_members(path)
    assert [info.name for info in listed] == sorted(MEMBERS)
    assert [info.size for info in listed] == [len(MEMBERS[info.name]) for info in listed]
