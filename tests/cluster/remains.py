"""What a run of the node leaves on this machine, and how it is taken away.

A run that ends by itself calls this; after one that was killed the next one does, from the dead
one's folder alone: its programs have died with it, its containers, mounts and networks have not.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from cluster.network import remove_bridge

_CGROUPS: Final = Path("/sys/fs/cgroup")
_NETWORKS: Final = Path("/run/netns")
_CNI: Final = Path("/var/lib/cni")
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


def remove_remains(folder: Path) -> None:
    """Removes all that a node below a folder has left; its programs have ended."""
    end_containers(folder)
    remove_state(folder)
    # What is still mounted is nobody's to delete: the next run tries again.
    if not mounts_below(folder, _mounts()):
        shutil.rmtree(folder, ignore_errors=True)


def end_containers(folder: Path) -> None:
    """Kills the processes of containers, then their shims, each by its id."""
    shims = _shims(folder)
    for pid in [*(child for shim in shims for child in _children(shim)), *shims]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while _shims(folder) and time.monotonic() < deadline:
        time.sleep(0.05)


def remove_state(folder: Path) -> None:
    """Removes mounts, networks with their rules, and cgroups, once containerd has ended."""
    for mount in mounts_below(folder, _mounts()):
        _unmount(mount)
    # Networks of sandboxes, which containerd keeps as files.
    for path in _NETWORKS.glob("cni-*"):
        _unmount(str(path))
        with suppress(OSError):
            path.unlink()
    shutil.rmtree(_CNI / "networks" / "cascade", ignore_errors=True)
    for path in (_CNI / "results").glob("cascade-*"):
        path.unlink(missing_ok=True)
    remove_bridge()
    _remove_cgroups()


def mounts_below(folder: Path, mounts: str) -> list[str]:
    """What is mounted below a folder, the innermost first.

    Args:
        folder: The folder.
        mounts: As in ``/proc/mounts``, where a space is ``\\040``.
    """
    paths = [_ESCAPED.sub(_unescape, line.split()[1]) for line in mounts.splitlines()]
    below = {path for path in paths if path.startswith(f"{folder}/")}
    # The same place may be mounted over again and again.
    found = [path for path in paths if path in below]
    return sorted(found, key=lambda path: path.count("/"), reverse=True)


def is_shim(command: bytes, folder: Path) -> bool:
    """Whether a process is a shim of the containerd below a folder.

    Args:
        command: As in ``/proc/PID/cmdline``.
        folder: The folder.
    """
    program, *options = command.split(b"\0")
    below = f"{folder}/".encode()
    return b"containerd-shim" in program and any(one.startswith(below) for one in options)


def _mounts() -> str:
    return Path("/proc/mounts").read_text(encoding="utf-8")


def _shims(folder: Path) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if is_shim(path.read_bytes(), folder):
                found.append(int(path.parent.name))
    return found


def _children(pid: int) -> Iterable[int]:
    """The processes that a process has started, and theirs."""
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in path.read_text().split():
                yield int(child)
                yield from _children(int(child))


def _unmount(path: str) -> None:
    subprocess.run(["umount", "--lazy", path], capture_output=True, check=False)


def _remove_cgroups() -> None:
    """Removes the pods' groups, empty by now, from the innermost outwards."""
    for top in (*_CGROUPS.glob("*/kubepods"), *_CGROUPS.glob("kubepods")):
        for path in sorted((p for p in top.rglob("*") if p.is_dir()), reverse=True):
            with suppress(OSError):
                path.rmdir()
        with suppress(OSError):
            top.rmdir()


def _unescape(found: re.Match[str]) -> str:
    return chr(int(found[1], 8))
