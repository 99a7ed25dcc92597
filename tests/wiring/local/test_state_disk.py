"""A state folder that cannot be written: told with 73, nothing is left running, and resumed."""

from __future__ import annotations

import errno
import os
import tempfile

import pytest

from cascade_operator.api.exit_codes import ExitCode
from cascade_operator.local.orphans import ProcessIdentity
from cascade_operator.local.state import StateWriteError
from fakes.scripted_command import Command

pytestmark = pytest.mark.process


@pytest.fixture
def command(tmp_path):
    return Command(tmp_path)


@pytest.fixture
def disk(monkeypatch):
    """Refuses to make files whose name holds some words, while it is told to."""
    refused: dict[str, int] = {}
    make = tempfile.mkstemp

    def mkstemp(*args, **options):
        for words, code in refused.items():
            if words in options.get("prefix", ""):
                raise OSError(code, os.strerror(code), options["dir"])
        return make(*args, **options)

    monkeypatch.setattr(tempfile, "mkstemp", mkstemp)
    return refused


@pytest.mark.parametrize(
    ("code", "mend"),
    [
        (errno.ENOSPC, "free space"),
        (errno.EDQUOT, "free space"),
        (errno.EROFS, "make it writable, or name another folder: --state"),
        (errno.EACCES, "make it writable, or name another folder: --state"),
        (errno.EIO, "check its disk"),
    ],
    ids=["full", "quota", "read-only", "forbidden", "broken"],
)
def test_a_folder_that_cannot_be_written_at_the_start(command, monkeypatch, code, mend):
    def refuse(path, *_, **__):
        raise OSError(code, os.strerror(code), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(os, "mkdir", refuse)
        with pytest.raises(StateWriteError) as caught:
            command.run()
    assert caught.value.exit_code == ExitCode.ARCHIVE_WRITE
    assert str(command.folder / "state") in str(caught.value)
    assert mend in caught.value.mend
    assert command.run().exit_code is ExitCode.OK


def test_a_lock_on_a_read_only_disk(command, monkeypatch):
    command.run()
    opens = os.open

    def refuse(path, flags, *args, **options):
        if str(path).endswith("lock") and flags & os.O_RDWR:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return opens(path, flags, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(StateWriteError, match="Read-only file system"):
            command.run()


def test_a_file_where_the_folder_should_be(command):
    (command.folder / "state").write_text("mine")
    with pytest.raises(StateWriteError, match="cannot be written") as caught:
        command.run()
    assert "a file lies in its way" in caught.value.mend
    assert (command.folder / "state").read_text() == "mine"


def test_a_status_that_finds_no_room_ends_the_command(command, disk):
    def fill_up(snapshot):
        if "triage-r1-00" in snapshot.jobs:
            disk["status.yaml"] = errno.ENOSPC  # the group's end asks for a status
        return False

    _ends_with_73_and_resumes(command, disk, fill_up)
    assert len(command.starts("prepare")) == 1


def test_a_job_whose_record_finds_no_room_is_not_left_running(command, disk):
    command.script({"group/00": [{"hang": True}]})
    disk["triage-r1-00.json"] = errno.ENOSPC
    _ends_with_73_and_resumes(command, disk, lambda _: False)


def _ends_with_73_and_resumes(command, disk, fill_up):
    with pytest.raises(StateWriteError, match="No space left") as caught:
        command.run(stop_when=fill_up)
    assert "the same command resumes" in caught.value.mend
    for start in command.starts("group-00"):
        assert ProcessIdentity.of(start["pid"]) is None, "nothing is left running"
    disk.clear()
    command.script({})
    again = command.run()
    assert again.exit_code is ExitCode.OK
    assert again.status.run.number == 1


def test_an_outcome_that_finds_no_room_is_no_end(command, disk):
    """The record of a Job that ended is lost: the command, which saw it, goes on."""
    command.script({"archive": [{"hang": True, "terminated": 143}, {}]})

    def fill_up(snapshot):
        running = [name for name, job in snapshot.jobs.items() if job.finished is None]
        if running == ["triage-r1-prepare"]:
            disk["triage-r1-prepare.json"] = errno.ENOSPC
        return command.hangs("archive")

    stopped = command.run(stop_when=fill_up)
    assert stopped.exit_code is ExitCode.TERMINATED
    disk.clear()
    assert command.run().exit_code is ExitCode.OK
