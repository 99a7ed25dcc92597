"""The kernel's side is a folder of files; a plain folder with the same files stands for it."""

from __future__ import annotations

import os

import pytest

from cascade_operator.local import memory_cgroup
from cascade_operator.local.memory_cgroup import MemoryCgroups, find_memory_cgroups

LIMIT = 64 * 1024**2


def _v1(folder):
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text("9223372036854771712")
    return folder


def _v2(folder, *, controllers="memory pids"):
    folder.mkdir(parents=True)
    (folder / "cgroup.subtree_control").write_text(controllers)
    return folder


def test_a_named_parent_is_used_and_its_version_told_by_its_files(tmp_path):
    old, new = _v1(tmp_path / "one"), _v2(tmp_path / "two")
    assert find_memory_cgroups({"CASCADE_CGROUP": str(old)}) == MemoryCgroups(old, unified=False)
    assert find_memory_cgroups({"CASCADE_CGROUP": str(new)}) == MemoryCgroups(new, unified=True)


def test_version_two_hands_the_memory_controller_to_children(tmp_path):
    parent = _v2(tmp_path / "two", controllers="pids")
    assert find_memory_cgroups({"CASCADE_CGROUP": str(parent)}) is not None
    assert (parent / "cgroup.subtree_control").read_text() == "+memory"


@pytest.mark.parametrize("version", [_v1, _v2], ids=["v1", "v2"])
def test_an_own_cgroup_that_is_not_delegated_is_left_alone(tmp_path, version):
    folder = "memory/session" if version is _v1 else "session"
    version(tmp_path / folder)
    own = tmp_path / "cgroup"
    own.write_text("4:memory:/session\n0::/session\n")
    assert find_memory_cgroups({}, mount=tmp_path, own=own) is None


@pytest.mark.parametrize("version", [_v1, _v2], ids=["v1", "v2"])
def test_a_delegated_own_cgroup_is_used(tmp_path, version, monkeypatch):
    folder = version(tmp_path / ("memory/session" if version is _v1 else "session"))
    own = tmp_path / "cgroup"
    own.write_text("4:cpu,memory:/session\n0::/session\n")
    marked = {folder}

    def getxattr(path, name):
        if path in marked and name == "user.delegate":
            return b"1"
        raise OSError

    monkeypatch.setattr(os, "getxattr", getxattr)
    found = find_memory_cgroups({}, mount=tmp_path, own=own)
    assert found is not None
    assert found.parent == folder


def test_a_named_parent_that_is_missing_means_the_watchdog(tmp_path):
    assert find_memory_cgroups({"CASCADE_CGROUP": str(tmp_path / "none")}) is None


def _with_kernel_files(monkeypatch, names):
    """Makes mkdir fill a new cgroup with the kernel's files, as cgroupfs does."""
    plain = memory_cgroup.Path.mkdir

    def mkdir(path, *args, **kwargs):
        plain(path, *args, **kwargs)
        for name in names:
            (path / name).write_text("")

    monkeypatch.setattr(memory_cgroup.Path, "mkdir", mkdir)


@pytest.mark.parametrize(
    ("unified", "files", "written"),
    [
        (
            False,
            ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"],
            {"memory.limit_in_bytes": str(LIMIT), "memory.memsw.limit_in_bytes": str(LIMIT)},
        ),
        (False, ["memory.limit_in_bytes"], {"memory.limit_in_bytes": str(LIMIT)}),
        (
            True,
            ["memory.max", "memory.swap.max", "memory.oom.group"],
            {"memory.max": str(LIMIT), "memory.swap.max": "0", "memory.oom.group": "1"},
        ),
    ],
    ids=["v1-with-swap", "v1-without-swap", "v2"],
)
def test_a_job_gets_its_limit_in_the_kernels_words(tmp_path, monkeypatch, unified, files, written):
    _with_kernel_files(monkeypatch, files)
    cgroup = MemoryCgroups(tmp_path, unified=unified).create("job-1", LIMIT)
    assert cgroup is not None
    assert cgroup.folder.name == f"cascade-{os.getpid()}-job-1"
    assert {f.name: f.read_text() for f in cgroup.folder.iterdir()} == written


def test_a_kernel_that_refuses_gives_no_cgroup(tmp_path):
    (tmp_path / "parent").write_text("a file, so that no folder can be made in it")
    assert MemoryCgroups(tmp_path / "parent", unified=True).create("job", LIMIT) is None


@pytest.mark.parametrize(
    ("unified", "text", "expected"),
    [
        (True, "low 0\nhigh 0\nmax 7\noom 1\noom_kill 1\noom_group_kill 1\n", True),
        (True, "low 0\nmax 7\noom 0\noom_kill 0\n", False),
        (False, "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n", True),
        (False, "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n", False),
        (False, "oom_kill_disable 0\n", False),
    ],
    ids=["v2-killed", "v2-fine", "v1-killed", "v1-fine", "v1-old-kernel"],
)
def test_an_oom_kill_is_read_from_the_kernels_counter(tmp_path, unified, text, expected):
    (tmp_path / ("memory.events" if unified else "memory.oom_control")).write_text(text)
    assert memory_cgroup.JobCgroup(tmp_path, unified).out_of_memory() is expected


def test_sweeping_removes_a_dead_owners_cgroups_only(tmp_path):
    mine = tmp_path / f"cascade-{os.getpid()}-job"
    theirs = tmp_path / "cascade-4194999-job"
    for folder in (mine, theirs, tmp_path / "other"):
        folder.mkdir()
    MemoryCgroups(tmp_path, unified=True).sweep()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [mine.name, "other"]
