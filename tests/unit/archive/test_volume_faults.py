"""A volume that refuses at any point: the old archive stays, nothing half-written is left."""

import errno
import os
import pathlib
from dataclasses import replace

import pytest

from cascade_operator.api.errors import ArchiveWriteError
from cascade_operator.api.exit_codes import ExitCode
from cascade_operator.archive.reader import read_archive
from cascade_operator.archive.writer import write_archives
from fakes.archives import make_run

CODES = (errno.ENOSPC, errno.EROFS, errno.EIO)


class Faults:
    """Refuses the n-th call of one function of the system."""

    def __init__(self, original, code, at):
        self.original, self.code, self.left = original, code, at

    def __call__(self, *args, **options):
        self.left -= 1
        if self.left == 0:
            raise OSError(self.code, os.strerror(self.code))
        return self.original(*args, **options)


POINTS = {
    "first-folder-sync": (os, "fsync", 1),
    "root-sync": (os, "fsync", 2),
    "file-sync": (os, "fsync", 3),
    "folder-sync-behind-the-rename": (os, "fsync", 4),
    "second-file-sync": (os, "fsync", 5),
    "rename": (os, "replace", 1),
    "second-rename": (os, "replace", 2),
    "make-partial": (pathlib.Path, "open", 1),
    "read-back": (pathlib.Path, "open", 2),
}


@pytest.mark.parametrize("code", CODES, ids=errno.errorcode.get)
@pytest.mark.parametrize("point", POINTS)
def test_a_volume_that_refuses(tmp_path, monkeypatch, decoder, point, code):
    run = make_run(["00", "00_10"], progressive=True)
    old = write_archives(run, tmp_path, decoder=decoder)
    before = {file.path: (tmp_path / file.path).read_bytes() for file in old}
    new = replace(run, progressive=False, candidates_json=b'{"pool":{"new":1}}')
    owner, name, at = POINTS[point]
    with monkeypatch.context() as patch:
        original = getattr(owner, name)
        faults = Faults(original, code, at)

        def refuse(*args, **options):  # a function, since a method has to be bound
            return faults(*args, **options)

        patch.setattr(owner, name, refuse)
        with pytest.raises(ArchiveWriteError, match=os.strerror(code)) as caught:
            write_archives(new, tmp_path, decoder=decoder)
        assert faults.left <= 0
    assert caught.value.exit_code == ExitCode.ARCHIVE_WRITE
    assert caught.value.mend
    left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert left == set(before), "no partial file is left"
    for path in before:
        # Each file is the old one or the new one, and whole.
        assert read_archive(tmp_path / path, decoder=decoder).candidates_json in (
            run.candidates_json,
            new.candidates_json,
        )
    again = write_archives(new, tmp_path, decoder=decoder)
    assert [file.path for file in again] == [file.path for file in old]
    assert all(
        read_archive(tmp_path / file.path, decoder=decoder).candidates_json == new.candidates_json
        for file in again
    )


@pytest.mark.parametrize("code", CODES, ids=errno.errorcode.get)
def test_a_volume_that_makes_no_folder(tmp_path, monkeypatch, decoder, code):
    with monkeypatch.context() as patch:
        patch.setattr(os, "mkdir", Faults(os.mkdir, code, 1))
        with pytest.raises(ArchiveWriteError, match=os.strerror(code)):
            write_archives(make_run(["00"]), tmp_path, decoder=decoder)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
