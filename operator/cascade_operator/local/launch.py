"""Starts one command so that it cannot outlive its owner: ``launch.py OPTIONS -- COMMAND``.

Run as a file by a bare interpreter, therefore it imports the standard library only. It asks the
kernel for a signal when the owner dies, joins a memory cgroup if one is named, and becomes the
command. ``preexec_fn`` would do the same inside a process with threads, where it may deadlock.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_CANNOT_START = 127


def die_with_parent(parent: int, number: int) -> None:
    """Has the kernel send this process a signal once its parent is gone.

    The kernel means the parent's *thread*: the owner starts its processes from a thread that
    lives as long as itself.

    Args:
        parent: The owner's process id; the process leaves at once if it is gone already.
        number: The signal, such as ``signal.SIGKILL``. It stays armed over exec.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        sys.stderr.write("launch: the kernel refused a parent-death signal\n")
        sys.exit(_CANNOT_START)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: list[str]) -> NoReturn:
    """Parses ``PARENT SIGNAL CGROUP_PROCS -- COMMAND...`` and becomes the command.

    ``CGROUP_PROCS`` is the file to write this process's id to, or ``-``.
    """
    parent, number, cgroup, separator, *command = arguments
    if separator != "--" or not command:
        sys.exit(_CANNOT_START)
    die_with_parent(int(parent), int(number))
    if cgroup != "-":
        with open(cgroup, "w", encoding="ascii") as procs:  # noqa: PTH123 - pathlib costs 10 ms here
            procs.write(str(os.getpid()))
    try:
        os.execvp(command[0], command)  # noqa: S606 - the point of this file
    except OSError as error:
        sys.stderr.write(f"launch: {command[0]}: {error.strerror}\n")
        sys.exit(_CANNOT_START)


if __name__ == "__main__":
    main(sys.argv[1:])
