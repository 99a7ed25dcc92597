"""The form on disk: any tool reads it, and no flipped bit passes for the archive it was."""

import gzip
import io
import tarfile

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cascade_operator.api.archive_spec import Compression
from cascade_operator.archive.reader import read_archive, verify_archive
from cascade_operator.archive.writer import write_archives
from fakes.archives import compress, entries_of, make_run, small_members, tar_bytes

MEMBERS = small_members()


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), inside=st.booleans())
def test_a_flipped_bit_is_refused_or_changes_nothing(tmp_path, decoder, where, bit, inside):
    honest = tar_bytes(entries_of(MEMBERS))
    target = bytearray(honest if inside else compress(honest, "Gzip"))
    target[int(where * len(target))] ^= 1 << bit
    path = tmp_path / "flipped.tar.zst"
    path.write_bytes(compress(bytes(target)) if inside else bytes(target))
    report = verify_archive(path, decoder=decoder)
    if report.ok:
        assert list(read_archive(path, decoder=decoder).groups) == ["00"]
        assert {m.name: m.size for m in report.members} == {k: len(v) for k, v in MEMBERS.items()}
    else:
        assert str(path) in report.problems[0]


@pytest.mark.parametrize("form", list(Compression))
def test_what_is_written_is_a_tar_any_tool_reads(tmp_path, decoder, form):
    written = write_archives(make_run(["00"]), tmp_path, form, decoder=decoder)[0]
    raw = (tmp_path / written.path).read_bytes()
    if form is Compression.GZIP:
        tar = gzip.decompress(raw)
        assert raw[3] == 0  # no name in the header
        assert raw[4:8] == bytes(4)  # no time either
    else:
        tar = zstandard.ZstdDecompressor().decompress(raw)
    with tarfile.open(fileobj=io.BytesIO(tar), mode="r:") as opened:
        infos = opened.getmembers()
    assert [info.name for info in infos] == ["manifest.json", *sorted(MEMBERS)]
    assert {(i.mtime, i.uid, i.gid, i.uname, i.gname, i.mode) for i in infos} == {
        (0, 0, 0, "", "", 0o644)
    }
