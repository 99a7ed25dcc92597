"""Stage 70 without a cgroup: the memory of a process and everything it started."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil

from cascade_operator.resources.cgroup import (
    CGROUP_ROOT,
    PROC,
    MemoryReading,
    MemorySource,
    read_memory,
)

MemoryReader = Callable[[], MemoryReading]


def process_tree_bytes(pid: int) -> int:
    """Returns the resident memory of a process and its descendants; 0 once it is gone.

    A single process counts by RSS. Several count by PSS where the kernel gives it, since pages
    that a fork shares with its parent would count once for each.
    """
    try:
        parent = psutil.Process(pid)
        children = parent.children(recursive=True)
    except psutil.NoSuchProcess:
        return 0
    if not children:
        return _resident(parent)
    return sum(_proportional(process) for process in (parent, *children))


def process_reader(pid: int, limit_bytes: int) -> MemoryReader:
    """Returns a reader of a process tree against a limit of our own (local runs).

    Args:
        pid: The process at the root of the tree.
        limit_bytes: The limit that the kernel knows nothing of.
    """

    def read() -> MemoryReading:
        used = process_tree_bytes(pid)
        return MemoryReading(used, limit_bytes, MemorySource.PROCESSES, limited=True)

    return read


def choose_reader(
    pid: int, limit_bytes: int | None, *, root: Path = CGROUP_ROOT, proc: Path = PROC
) -> MemoryReader:
    """Returns what a gate reads: the cgroup where it holds the limit, else the process tree.

    A cgroup whose limit is above ``limit_bytes`` (or that has none) is not this Job's own: it
    may hold other processes, so that its usage says nothing about this one.

    Args:
        pid: This process.
        limit_bytes: The Job's limit (``CASCADE_MEMORY_LIMIT``), None when it was not told.
        root: Where cgroups are mounted.
        proc: Where processes are listed.
    """
    cgroup = partial(read_memory, root, proc)
    if limit_bytes is None:
        return cgroup
    reading = cgroup()
    if reading.limited and reading.limit <= limit_bytes:
        return cgroup
    return process_reader(pid, limit_bytes)


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def _proportional(process: psutil.Process) -> int:
    try:
        rollup = (PROC / str(process.pid) / "smaps_rollup").read_text("ascii", "replace")
    except OSError:
        return _resident(process)
    for line in rollup.splitlines():
        key, _, value = line.partition(":")
        if key == "Pss":
            return int(value.split()[0]) * 1024
    return _resident(process)
