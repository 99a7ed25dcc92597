"""The memory of a process tree, and when it is read instead of a cgroup."""

import os
import subprocess
import sys

import psutil
import pytest

from cascade_operator.resources.cgroup import MemorySource
from cascade_operator.resources.processes import (
    choose_reader,
    process_reader,
    process_tree_bytes,
)

MIB = 2**20
GIB = 2**30
# Holds 64 MiB until its input ends.
HOLD = "import sys; kept = b'x' * (64 << 20); print(len(kept), flush=True); sys.stdin.read()"


def test_a_process_alone_counts_what_is_resident():
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as alone:
        assert alone.stdout.readline().strip() == b"67108864"
        rss = psutil.Process(alone.pid).memory_info().rss
        used = process_tree_bytes(alone.pid)
        alone.stdin.close()
        alone.wait(20)
    assert 64 * MIB < used < rss + 64 * MIB


def test_a_tree_counts_its_children():
    start = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {HOLD!r}])\n"
        "child.wait()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", start], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout.readline().strip() == b"67108864"
        used = process_tree_bytes(parent.pid)
        alone = psutil.Process(parent.pid).memory_info().rss
        parent.stdin.close()
        parent.wait(20)
    assert alone < 64 * MIB < used < 64 * MIB + 2 * alone + 64 * MIB
    assert process_tree_bytes(parent.pid) == 0


def test_the_reader_measures_against_the_given_limit():
    reading = process_reader(os.getpid(), 10 * MIB)()
    assert (reading.limit, reading.limited) == (10 * MIB, True)
    assert reading.source is MemorySource.PROCESSES
    assert reading.percent > 100


CHOICES = {
    "the group holds the limit": (GIB, GIB, MemorySource.CGROUP_V2),
    "the kernel rounded it down to a page": (GIB - 4096, GIB, MemorySource.CGROUP_V2),
    "the group is larger: not this Job's own": (2 * GIB, GIB, MemorySource.PROCESSES),
    "the group has none": ("max", GIB, MemorySource.PROCESSES),
    "no limit was told": ("max", None, MemorySource.CGROUP_V2),
}


@pytest.mark.parametrize(("group", "told", "source"), CHOICES.values(), ids=CHOICES.keys())
def test_the_cgroup_is_read_where_it_holds_the_limit(tmp_path, group, told, source):
    (tmp_path / "memory.current").write_text("5\n")
    (tmp_path / "memory.max").write_text(f"{group}\n")
    reading = choose_reader(os.getpid(), told, root=tmp_path, proc=tmp_path)()
    assert reading.source is source
    assert told is None or reading.limit <= told
