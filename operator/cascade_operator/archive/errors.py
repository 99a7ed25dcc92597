"""What goes wrong with an archive, said with the archive's name, the member and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cascade_operator.api.errors import DataError

REPLACE = "Restore the file from a backup, or name another archive in warmStart.archive."
_SHOWN = 120


class ArchiveError(DataError):
    """An archive cannot be trusted, read or made. Ends a worker with 65.

    Attributes:
        archive: The file, or what stood for it.
        member: The member at fault, where one is.
    """

    def __init__(
        self, archive: str, problem: str, *, member: str | None = None, mend: str = ""
    ) -> None:
        if member is not None:
            # A hostile name may hold line breaks and terminal codes, and may be long.
            member = ascii(member)[1:-1][:_SHOWN]
        where = f"archive {archive}" + (f", member {member}" if member else "")
        super().__init__(f"{where}: {problem}", mend=mend or REPLACE)
        self.archive = archive
        self.member = member


class MalformedError(Exception):
    """Inside this package: bytes that break a rule, before the archive's name is known.

    Attributes:
        member: The member at fault, where one is.
        mend: What to do, when it is not simply to take another file.
    """

    def __init__(self, problem: str, *, member: str | None = None, mend: str = "") -> None:
        super().__init__(problem)
        self.member = member
        self.mend = mend


@contextmanager
def in_archive(path: Path | str) -> Iterator[None]:
    """Turns what fails while an archive is read into an ``ArchiveError`` that names it."""
    try:
        yield
    except MalformedError as error:
        raise ArchiveError(str(path), str(error), member=error.member, mend=error.mend) from error
    except FileNotFoundError as error:
        raise ArchiveError(
            str(path), "no such file", mend="List the archives there are: `cascade archive ls`."
        ) from error
    except (IsADirectoryError, NotADirectoryError) as error:
        raise ArchiveError(
            str(path),
            f"cannot be read: {error.strerror}",
            mend="Name an archive's file (.tar.zst or .tar.gz), or as --root the folder of all.",
        ) from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ArchiveError(
            str(path), f"cannot be read: {reason}", mend="Check the volume and its permissions."
        ) from error


@contextmanager
def in_member(name: str) -> Iterator[None]:
    """Adds the member's name to what fails while it is read."""
    try:
        yield
    except MalformedError as error:
        error.member = error.member or name
        raise
