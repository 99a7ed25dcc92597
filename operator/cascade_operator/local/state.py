"""The state folder: everything a local cluster keeps between two commands (91).

- ``volumes/<claim>/``: the persistent volume claims
- ``secrets/<name>/<key>``: what a session's secret references read, put there by its user
- ``redis/``: the embedded Redis; ``servers/``: the servers' logs
- ``sessions/<name>/``: ``session.yaml``, ``status.yaml``, ``config-maps/``, ``jobs/``
- ``runs/<sessionId>/``: ``logs/``, ``scratch/``, the report
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cascade_operator.api.errors import CascadeError, ServiceUnavailable, SpecError
from cascade_operator.api.exit_codes import ExitCode

_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
_GITIGNORE: Final = "*\n"
_ELSEWHERE: Final = "or name another folder: --state DIR"
_DISK_MENDS: Final = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free space there"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), f"make it writable, {_ELSEWHERE}"),
    errno.EIO: f"check its disk, {_ELSEWHERE}",
    errno.ENOTDIR: f"a file lies in its way: move that, {_ELSEWHERE}",
    errno.EEXIST: f"a file lies in its way: move that, {_ELSEWHERE}",
}
"""What to do about what a disk refuses; any other error is a fault of ours."""


@dataclass(frozen=True, slots=True)
class StateFolder:
    """Paths below one state folder. Names come from a session, so each is checked.

    Attributes:
        path: The folder; absolute.
    """

    path: Path

    @classmethod
    def at(cls, path: Path) -> StateFolder:
        """Opens a state folder, made if it is missing, and kept out of version control."""
        folder = path.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text(_GITIGNORE, encoding="ascii")
        return cls(folder)

    @property
    def redis(self) -> Path:
        """The embedded Redis's data."""
        return self.path / "redis"

    @property
    def servers(self) -> Path:
        """Addresses and logs of the embedded servers."""
        return self.path / "servers"

    def volume(self, claim: str) -> Path:
        """The folder that stands for a persistent volume claim; made if it is missing."""
        return _made(self.path / "volumes" / checked_name(claim))

    def secret(self, name: str) -> Path:
        """The folder that stands for a Secret; it is the user's, so it is not made."""
        return self.path / "secrets" / checked_name(name)

    def session(self, name: str) -> Path:
        """The folder of one session; made if it is missing."""
        return _made(self.path / "sessions" / checked_name(name))

    def status_file(self, name: str) -> Path:
        """Where a session's status lies, as a cluster would hold it."""
        return self.session(name) / "status.yaml"

    def session_file(self, name: str) -> Path:
        """Where a session's identity lies: what an API server would have given it."""
        return self.session(name) / "session.yaml"

    def jobs(self, name: str) -> Path:
        """The folder of a session's Job records."""
        return _made(self.session(name) / "jobs")

    def config_maps(self, name: str) -> Path:
        """The folder of a session's ConfigMaps, each a folder of files."""
        return _made(self.session(name) / "config-maps")

    def run(self, session_id: str) -> Path:
        """The folder of one run; made if it is missing."""
        return _made(self.path / "runs" / checked_name(session_id))

    def logs(self, session_id: str) -> Path:
        """The folder of one run's logs, one file a Job."""
        return _made(self.run(session_id) / "logs")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the folder for one command; the kernel lets go of it when the process ends.

        Raises:
            ServiceUnavailable: Another command holds it.
        """
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.pread(descriptor, 32, 0).decode("ascii", errors="replace").strip()
                raise ServiceUnavailable(
                    f"the state folder {self.path} is in use by process {holder or 'unknown'}",
                    mend="wait for that run to end, or give this one its own folder: --state DIR",
                ) from error
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode("ascii"), 0)
            yield
        finally:
            os.close(descriptor)


class StateWriteError(CascadeError):
    """The state folder cannot be written: full, read-only, or no folder."""

    exit_code = ExitCode.ARCHIVE_WRITE
    reason = "StateWriteFailed"


@contextmanager
def state_errors(path: Path) -> Iterator[None]:
    """Turns what the disk below a state folder refuses into an error that says what to mend.

    Raises:
        StateWriteError: It did.
    """
    try:
        yield
    except OSError as error:
        mend = _DISK_MENDS.get(error.errno or 0)
        if mend is None:
            raise
        where = error.filename or path
        raise StateWriteError(
            f"the state folder {path} cannot be written: {error.strerror} ({where})",
            mend=f"{mend}; then the same command resumes",
        ) from error


def checked_name(name: str) -> str:
    """Returns a name that is safe as one part of a path.

    Raises:
        SpecError: It is not.
    """
    if not _NAME.fullmatch(name):
        raise SpecError(
            f"{name!r} cannot name an object",
            mend="use letters, digits, '-', '_' and '.', a letter or digit first and last",
        )
    return name


def write_atomically(path: Path, text: str) -> None:
    """Writes a file so that a reader, also after a crash, finds the old or the new text whole."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
