"""Stage 70: how much memory this process's container uses, and how much it may use.

Read as the kubelet does: working set = usage - inactive file pages, never below 0, since the
kernel takes inactive pages back before it kills. Sources, in this order: cgroup v2, cgroup v1, the
host. A source whose files are missing or malformed gives way to the next one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Final

import psutil

CGROUP_ROOT: Final = Path("/sys/fs/cgroup")
PROC: Final = Path("/proc")

_V2_ID: Final = "0"
_V1_FOLDER: Final = "memory"
_HYBRID_FOLDER: Final = "unified"


class MemorySource(StrEnum):
    """Where a reading comes from."""

    CGROUP_V2 = "cgroup v2"
    CGROUP_V1 = "cgroup v1"
    HOST = "host"
    PROCESSES = "process tree"


@dataclass(frozen=True, slots=True)
class MemoryReading:
    """One reading, in bytes.

    Attributes:
        working_set: What is in use and cannot be dropped.
        limit: Where the kernel kills; the host's memory where nothing lower is set.
        source: Where both come from.
        limited: True when a limit is set for this process's group, rather than by the host's size.
    """

    working_set: int
    limit: int
    source: MemorySource
    limited: bool

    @property
    def percent(self) -> float:
        """Working set as a percentage of the limit."""
        return 100.0 * self.working_set / self.limit if self.limit else 0.0


@dataclass(frozen=True, slots=True)
class _Names:
    """The file names of one cgroup version."""

    source: MemorySource
    usage: str
    limit: str
    inactive: str


_V2: Final = _Names(MemorySource.CGROUP_V2, "memory.current", "memory.max", "inactive_file")
_V1: Final = _Names(
    MemorySource.CGROUP_V1, "memory.usage_in_bytes", "memory.limit_in_bytes", "total_inactive_file"
)
_STAT: Final = "memory.stat"
_V1_INHERITED: Final = "hierarchical_memory_limit"


def read_memory(
    root: Path = CGROUP_ROOT,
    proc: Path = PROC,
    *,
    pid: int | str = "self",
    host_total: int | None = None,
) -> MemoryReading:
    """Reads the memory of a process's own cgroup; never raises for want of files.

    Args:
        root: Where cgroups are mounted.
        proc: Where processes are listed.
        pid: Whose cgroup.
        host_total: The host's memory in bytes; asked of the host when None.
    """
    total = psutil.virtual_memory().total if host_total is None else host_total
    v2_path, v1_path = _own_paths(proc / str(pid) / "cgroup")
    # In a hybrid host both are mounted, and memory is counted where the controller is bound.
    places = [(root / _V1_FOLDER, v1_path, _V1)] if v1_path is not None else []
    if v2_path is not None or not places:
        path = v2_path or PurePosixPath()
        places += [(root, path, _V2), (root / _HYBRID_FOLDER, path, _V2)]
    if v1_path is None:
        places.append((root / _V1_FOLDER, PurePosixPath(), _V1))
    for base, path, names in places:
        if (reading := _read_cgroup(base, path, names, total)) is not None:
            return reading
    return read_host()


def read_host() -> MemoryReading:
    """Reads the whole machine: what is not available counts as used."""
    memory = psutil.virtual_memory()
    used = max(0, memory.total - memory.available)
    return MemoryReading(used, memory.total, MemorySource.HOST, limited=False)


def _own_paths(table: Path) -> tuple[PurePosixPath | None, PurePosixPath | None]:
    # Lines are "id:controllers:path"; id 0 is v2's, and v1's names its controllers.
    v2 = v1 = None
    for line in (_text(table) or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, separator, path = rest.partition(":")
        if not separator or not path.startswith("/"):
            continue
        if number == _V2_ID and not controllers:
            v2 = _relative(path)
        elif _V1_FOLDER in controllers.split(","):
            v1 = _relative(path)
    return v2, v1


def _relative(path: str) -> PurePosixPath:
    # A process outside its cgroup namespace's root shows as /../..: all it can see is the root.
    parts = PurePosixPath(path).parts[1:]
    return PurePosixPath() if ".." in parts else PurePosixPath(*parts)


def _read_cgroup(
    base: Path, path: PurePosixPath, names: _Names, host_total: int
) -> MemoryReading | None:
    # The nearest group that counts memory is the process's own. In a container the path may be
    # the host's while only the container's part is mounted: then that is the base itself.
    levels = [level for level in _upwards(base, path) if (level / names.usage).is_file()]
    if not levels:
        return None
    usage = _number(levels[0] / names.usage)
    if usage is None:
        return None
    inactive = _stat(levels[0], names.inactive) or 0
    limits = [_number(level / names.limit) for level in levels]
    if names is _V1:
        limits.append(_stat(levels[0], _V1_INHERITED))
    # "max" is no number, and v1's "no limit" is one near 2**63: either way the host is the limit.
    below = [limit for limit in limits if limit is not None and 0 < limit < host_total]
    return MemoryReading(
        working_set=max(0, usage - inactive),
        limit=min(below, default=host_total),
        source=names.source,
        limited=bool(below),
    )


def _upwards(base: Path, path: PurePosixPath) -> Iterator[Path]:
    for level in (path, *path.parents) if path.parts else (path,):
        yield base / level


def _stat(group: Path, name: str) -> int | None:
    for line in (_text(group / _STAT) or "").splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return _parsed(value)
    return None


def _number(file: Path) -> int | None:
    return _parsed(_text(file) or "")


def _parsed(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() else None


def _text(file: Path) -> str | None:
    try:
        return file.read_text("ascii", "replace")
    except OSError:
        return None
