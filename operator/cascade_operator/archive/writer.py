"""Stage 50: writes a run's archives, each whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cascade_operator.api.archive_spec import Compression
from cascade_operator.api.errors import ArchiveWriteError
from cascade_operator.archive import members
from cascade_operator.archive.container import write_container
from cascade_operator.archive.decoder import TableDecoder
from cascade_operator.archive.encoding import Contents, RunMembers, encode_groups
from cascade_operator.archive.errors import ArchiveError, MalformedError
from cascade_operator.archive.manifest import Manifest
from cascade_operator.archive.members import group_size
from cascade_operator.archive.model import RunArchive
from cascade_operator.archive.reader import verify_archive
from cascade_operator.archive.streams import SUFFIXES

_MENDS: Final = {
    errno.ENOSPC: "Free space on the archive claim, enlarge it, or lower archive.retain.",
    errno.EDQUOT: "Free space on the archive claim, enlarge it, or lower archive.retain.",
    errno.EROFS: "Mount the archive claim writable: it is read-only here.",
    errno.EACCES: "Give the worker's user write access to the archive claim (fsGroup 65532).",
    errno.EPERM: "Give the worker's user write access to the archive claim (fsGroup 65532).",
    errno.EIO: "Check the archive claim's volume: it reports an I/O error.",
}
_NO_FOLDER_SYNC: Final = {errno.EINVAL, errno.ENOTSUP}
"""What file systems answer that cannot sync a folder; their rename is all there is."""


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """A written archive.

    Attributes:
        group_size: The size of the groups in it; 0 when the run had no group yet.
        path: Relative to the archives' root, with ``/``.
        sha256: Of the file, in hexadecimal.
        bytes: Its size.
    """

    group_size: int
    path: str
    sha256: str
    bytes: int


def archive_path(run: RunArchive, compression: Compression) -> Path:
    """Returns where a file of this run lies, relative to the archives' root.

    Raises:
        ArchiveError: Namespace, session or session id could leave the folder.
    """
    for name, pattern in (
        (run.namespace, members.FOLDER_NAME),
        (run.session, members.FOLDER_NAME),
        (run.session_id, members.SESSION_ID),
    ):
        if not pattern.fullmatch(name) or ".." in name:
            raise ArchiveError(name, "is no name a folder of archives can have", mend="Rename it.")
    name = f"{run.session_id}_size{run.group_size:02d}{SUFFIXES[compression]}"
    return Path(run.namespace, run.session, name)


def write_archives(
    run: RunArchive,
    root: Path,
    compression: Compression = Compression.ZSTD,
    *,
    decoder: TableDecoder | None = None,
) -> list[ArchiveFile]:
    """Writes one archive a group size, smallest first; one of size 0 when there is no group.

    A file of the same run and size is replaced by an atomic rename, so that the final archive
    takes the progressive one's place and no reader ever sees half of one.

    Args:
        run: The run, groups of all sizes in it.
        root: The archives' volume.
        compression: The form.
        decoder: Reads back what was written; give one that is open already, since it is a process.

    Raises:
        ArchiveWriteError: The volume refuses; nothing half-written is left behind.
        ArchiveError: The run cannot be archived as it is.
    """
    sizes = sorted({group_size(key) for key in run.groups}) or [0]
    first = archive_path(run.of_size(sizes[0], sizes), compression)
    with (
        nullcontext(decoder) if decoder else TableDecoder() as tables,
        _shared(run, root, first) as shared,
    ):
        back = _ReadBack(tables)
        return [
            _write_file(run.of_size(size, sizes), root, compression, shared, back) for size in sizes
        ]


def write_archive(
    run: RunArchive, root: Path, compression: Compression, *, decoder: TableDecoder | None = None
) -> ArchiveFile:
    """Writes the archive of one group size: temporary name, sync, check, rename, sync.

    Raises:
        ArchiveWriteError: As ``write_archives``.
        ArchiveError: As ``write_archives``.
    """
    with (
        nullcontext(decoder) if decoder else TableDecoder() as tables,
        _shared(run, root, archive_path(run, compression)) as shared,
    ):
        return _write_file(run, root, compression, shared, _ReadBack(tables))


def _shared(run: RunArchive, root: Path, relative: Path) -> RunMembers:
    with _writing(root / relative), _malformed(relative.name):
        _make_folder((root / relative).parent, root)
        return RunMembers(run, root)


def _write_file(
    run: RunArchive, root: Path, compression: Compression, shared: RunMembers, back: _ReadBack
) -> ArchiveFile:
    relative = archive_path(run, compression)
    target = root / relative
    with _malformed(relative.name):
        contents = shared.contents | encode_groups(run)
    with _writing(target):
        _drop_partials(target)
        partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
        try:
            _write(partial, run, contents, compression)
            contents.clear()  # reading back needs the memory
            digest, size = back.check(partial, target)
            partial.replace(target)
        except BaseException:
            # Also when told to stop: a partial file is of no use to anyone.
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)
        _drop_other_form(run, root, compression)
    return ArchiveFile(run.group_size, relative.as_posix(), digest, size)


def _write(
    partial: Path, run: RunArchive, contents: dict[str, Contents], compression: Compression
) -> None:
    manifest = Manifest(
        session_id=run.session_id,
        namespace=run.namespace,
        session=run.session,
        group_size=run.group_size,
        sizes=run.sizes or (run.group_size,),
        progressive=run.progressive,
        recipe=run.recipe,
        members={},
    )
    with partial.open("xb") as out:
        with _malformed(partial.name):
            write_container(out, manifest, contents, compression)
        out.flush()
        os.fsync(out.fileno())


class _ReadBack:
    """Reads what was written as any reader would, before it takes the old file's place.

    The files of a run hold the same matrices; one reading of them is enough, by their digests.
    """

    def __init__(self, decoder: TableDecoder) -> None:
        self._decoder = decoder
        self._verified: set[str] = set()

    def check(self, partial: Path, target: Path) -> tuple[str, int]:
        """Returns the file's SHA-256 and size."""
        report = verify_archive(partial, decoder=self._decoder, verified=self._verified)
        if report.problems:
            raise ArchiveWriteError(
                f"cannot write {target}: what was written does not read back "
                f"({report.problems[0]})",
                mend="Check the archive claim's volume; the archive that was there is untouched.",
            )
        with partial.open("rb") as written:
            digest = hashlib.file_digest(written, "sha256")
            return digest.hexdigest(), written.tell()


@contextmanager
def _malformed(name: str) -> Iterator[None]:
    """Says of which archive the run's data broke a rule."""
    try:
        yield
    except MalformedError as error:
        raise ArchiveError(name, str(error), member=error.member, mend=error.mend) from error


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        mend = _MENDS.get(error.errno or 0, "Check the archive claim's volume.")
        raise ArchiveWriteError(f"cannot write {target}: {reason}", mend=mend) from error


def _make_folder(folder: Path, root: Path) -> None:
    if not root.is_dir():
        raise FileNotFoundError(errno.ENOENT, "the archives' folder does not exist", str(root))
    folder.mkdir(parents=True, exist_ok=True)
    if not folder.resolve().is_relative_to(root.resolve()):
        raise PermissionError(errno.EACCES, "a link leads out of the archives' folder", str(folder))
    # A new folder's own entry must survive a crash too, up to the root.
    _sync_folder(folder.parent)
    _sync_folder(root)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(handle)


def _drop_partials(target: Path) -> None:
    # Left by a writer that was killed; a session runs one archive Job at a time.
    for partial in target.parent.glob(f".{target.name}.*.partial"):
        partial.unlink(missing_ok=True)


def _drop_other_form(run: RunArchive, root: Path, compression: Compression) -> None:
    # archive.compression may change within a run; the older form would otherwise stay beside.
    for other in Compression:
        if other is not compression:
            (root / archive_path(run, other)).unlink(missing_ok=True)
