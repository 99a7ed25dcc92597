from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cascade_operator.api.errors import ServiceUnavailable, SpecError
from cascade_operator.local.state import StateFolder, checked_name, write_atomically


@pytest.mark.parametrize("name", ["a", "traces-pvc", "20260101T000000Z", "a.b_c", "00_02"])
def test_a_plain_name_is_part_of_a_path(name):
    assert checked_name(name) == name


@pytest.mark.parametrize("name", ["", "..", ".", "a/b", "/etc", "a/../b", "-x", "a\n", "a" * 300])
def test_a_name_that_leaves_the_folder_is_refused(name):
    with pytest.raises(SpecError):
        checked_name(name)


def test_volumes_are_folders_inside_the_state(tmp_path):
    state = StateFolder.at(tmp_path / "state")
    assert state.volume("archives") == tmp_path / "state/volumes/archives"
    assert state.volume("archives").is_dir()


def test_the_state_keeps_itself_out_of_version_control(tmp_path):
    StateFolder.at(tmp_path / "state")
    assert (tmp_path / "state/.gitignore").read_text() == "*\n"


def test_a_second_command_on_a_locked_folder_is_refused_with_the_holder(tmp_path):
    state = StateFolder.at(tmp_path)
    script = (
        "import sys, pathlib\n"
        "from cascade_operator.api.errors import ServiceUnavailable\n"
        "from cascade_operator.local.state import StateFolder\n"
        "try:\n"
        "    with StateFolder.at(pathlib.Path(sys.argv[1])).lock(): print('held')\n"
        "except ServiceUnavailable as error: print(error, error.mend)\n"
    )

    def other() -> str:
        command = [sys.executable, "-c", script, str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    with state.lock():
        answer = other()
        assert f"in use by process {os.getpid()}" in answer
        assert "--state" in answer
    assert other() == "held\n"


def test_the_lock_is_not_taken_twice_by_one_process(tmp_path):
    state = StateFolder.at(tmp_path)
    with state.lock(), pytest.raises(ServiceUnavailable), state.lock():
        pass


def test_a_failed_write_leaves_the_old_text_and_no_litter(tmp_path):
    file = tmp_path / "status.yaml"
    write_atomically(file, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(file, "new \ud800")
    assert file.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["status.yaml"]
