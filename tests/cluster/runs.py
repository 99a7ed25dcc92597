"""The runs that have the node of this machine: one at a time, the living one and dead ones.

Each run's folder has a file that its process holds locked: the kernel lets go of it however that
process ends, so that neither an id that was given anew nor a forgotten file misleads anyone.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TextIO

from api.toolchain import TestBedError
from cluster.remains import remove_remains

PARENT: Final = Path("/tmp")
"""Of the runs' folders: one place for the machine, whose bridge and rules they share."""
PREFIX: Final = "cascade-node-"
_FILE: Final = "run"


class Run:
    """This process's run.

    Attributes:
        folder: All that it makes lies below; gone with it, except for logs that are kept.
    """

    def __init__(
        self, parent: Path = PARENT, remove: Callable[[Path], None] = remove_remains
    ) -> None:
        """Takes the node, and first takes away what dead runs have left.

        Args:
            parent: Of the runs' folders.
            remove: Takes away what a dead run with a folder has left.

        Raises:
            TestBedError: Another run has the node.
        """
        with _alone(parent):
            for folder in _folders(parent):
                if holder := living(folder):
                    raise TestBedError(
                        f"process {holder} has this machine's node ({folder}): wait until it ends"
                    )
                remove(folder)
            self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
            self._held = _hold(self.folder)

    def end(self) -> None:
        """Lets go of the node; whatever is still in the folder is no remains."""
        with suppress(FileNotFoundError):
            (self.folder / _FILE).unlink()
        self._held.close()


@contextmanager
def _alone(parent: Path) -> Iterator[None]:
    """Holds the parent itself, so that no two runs look and take at once."""
    descriptor = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def living(folder: Path) -> str:
    """The process whose run a folder is; empty where that has ended."""
    with suppress(FileNotFoundError), (folder / _FILE).open(encoding="ascii") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return stream.read() or "unknown"
    return ""


def _hold(folder: Path) -> TextIO:
    stream = (folder / _FILE).open("w", encoding="ascii")
    fcntl.flock(stream, fcntl.LOCK_EX)
    stream.write(str(os.getpid()))
    stream.flush()
    return stream


def _folders(parent: Path) -> list[Path]:
    """Folders of runs that have not told of their end; others hold logs at most."""
    return sorted(path.parent for path in parent.glob(f"{PREFIX}*/{_FILE}"))
