"""Memory limits by the kernel, where this process may make cgroups (versions 1 and 2).

A folder being writable is not leave to write there: as root every cgroup is, and most belong to a
service manager. So a parent is used only if the user names it, or if systemd has marked this
process's own cgroup as delegated (https://systemd.io/CGROUP_DELEGATION).
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PARENT_VARIABLE: Final = "CASCADE_CGROUP"
"""Names a cgroup folder whose children this process may make."""

_MOUNT: Final = Path("/sys/fs/cgroup")
_DELEGATION_MARKS: Final = ("user.delegate", "trusted.delegate")
_REMOVE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class JobCgroup:
    """The cgroup of one Job.

    Attributes:
        folder: Its folder.
        unified: Whether it is of version 2.
    """

    folder: Path
    unified: bool

    @property
    def procs(self) -> Path:
        """The file a process writes its id to, to join."""
        return self.folder / "cgroup.procs"

    def out_of_memory(self) -> bool:
        """Whether the kernel has killed a process in it for want of memory."""
        events = self.folder / ("memory.events" if self.unified else "memory.oom_control")
        try:
            lines = events.read_text(encoding="ascii").splitlines()
        except OSError:
            return False
        return any(line.startswith("oom_kill ") and line != "oom_kill 0" for line in lines)

    def remove(self) -> None:
        """Removes it once its processes have ended; the kernel takes a moment to let go."""
        deadline = time.monotonic() + _REMOVE_SECONDS
        while True:
            try:
                self.folder.rmdir()
            except (FileNotFoundError, NotADirectoryError):
                return
            except OSError:
                if time.monotonic() > deadline:
                    return
                time.sleep(0.02)
            else:
                return


@dataclass(frozen=True, slots=True)
class MemoryCgroups:
    """A parent cgroup below which Jobs get their own.

    Attributes:
        parent: Its folder.
        unified: Whether it is of version 2.
    """

    parent: Path
    unified: bool

    def create(self, job: str, limit: int) -> JobCgroup | None:
        """Makes a Job's cgroup with a limit in bytes; None if the kernel refuses it."""
        cgroup = JobCgroup(self.parent / f"cascade-{os.getpid()}-{job}", self.unified)
        try:
            cgroup.folder.mkdir()
            for name, value, needed in _settings(limit, unified=self.unified):
                file = cgroup.folder / name
                if needed or file.exists():
                    file.write_text(value, encoding="ascii")
        except OSError:
            cgroup.remove()
            return None
        return cgroup

    def sweep(self) -> None:
        """Removes what a killed owner left; one whose processes still run stays."""
        for folder in self.parent.glob("cascade-*-*"):
            owner = folder.name.split("-")[1]
            if owner.isdecimal() and not Path("/proc", owner).exists():
                try:
                    folder.rmdir()
                except OSError:
                    continue


def find_memory_cgroups(
    environment: Mapping[str, str],
    *,
    mount: Path = _MOUNT,
    own: Path = Path("/proc/self/cgroup"),
) -> MemoryCgroups | None:
    """Finds a parent this process may make cgroups in; None means to use the watchdog.

    Args:
        environment: Where ``CASCADE_CGROUP`` may name one.
        mount: Where cgroups are mounted.
        own: The kernel's list of this process's cgroups.
    """
    named = environment.get(PARENT_VARIABLE, "")
    if named:
        return _usable(Path(named))
    delegated = [folder for folder in _own_folders(own, mount) if _is_delegated(folder)]
    return next((found for found in map(_usable, delegated) if found is not None), None)


def _settings(limit: int, *, unified: bool) -> list[tuple[str, str, bool]]:
    """File, value and whether it must exist. Swap would turn a limit into a slow machine."""
    if unified:
        return [
            ("memory.max", str(limit), True),
            ("memory.swap.max", "0", False),
            ("memory.oom.group", "1", False),
        ]
    return [
        ("memory.limit_in_bytes", str(limit), True),
        ("memory.memsw.limit_in_bytes", str(limit), False),
    ]


def _own_folders(own: Path, mount: Path) -> list[Path]:
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    folders = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            folders.append(mount / path.lstrip("/"))
        elif "memory" in controllers.split(","):
            folders.append(mount / "memory" / path.lstrip("/"))
    return folders


def _is_delegated(folder: Path) -> bool:
    for mark in _DELEGATION_MARKS:
        try:
            if os.getxattr(folder, mark) == b"1":
                return True
        except OSError:
            continue
    return False


def _usable(folder: Path) -> MemoryCgroups | None:
    """Tells the version by its files, and hands version 2's memory controller to children."""
    if not os.access(folder, os.W_OK):
        return None
    if (folder / "memory.limit_in_bytes").exists():
        return MemoryCgroups(folder, unified=False)
    children = folder / "cgroup.subtree_control"
    try:
        if "memory" not in children.read_text(encoding="ascii").split():
            children.write_text("+memory", encoding="ascii")
    except OSError:
        # Version 2 refuses while the cgroup holds processes itself.
        return None
    return MemoryCgroups(folder, unified=True)
