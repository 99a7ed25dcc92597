"""Finds archives on a volume, says which set of files is whole, and which are due to go.

The layout is ``<namespace>/<session>/<sessionId>_size<NN>.tar.zst`` (or ``.tar.gz``), and beside
them a run's report, ``<sessionId>_report.html``, which goes with its run. Names that do not follow
it, folders of other depth and links are somebody else's: they are not listed, and so never removed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cascade_operator.archive.container import read_manifest
from cascade_operator.archive.errors import ArchiveError, in_archive
from cascade_operator.archive.manifest import Manifest
from cascade_operator.archive.members import FOLDER_NAME, SESSION_ID

_FILE: Final = re.compile(
    rf"(?P<session_id>{SESSION_ID.pattern})_size(?P<size>0[0-6])\.tar\.(?:zst|gz)", re.ASCII
)


@dataclass(frozen=True, slots=True, order=True)
class SessionFolder:
    """A session that has a folder of archives."""

    namespace: str
    session: str


@dataclass(frozen=True, slots=True)
class CatalogFile:
    """An archive by its name alone; what it holds has not been looked at."""

    path: Path
    session_id: str
    group_size: int
    bytes: int


@dataclass(frozen=True, slots=True)
class ArchivedRun:
    """The files of one run.

    Attributes:
        folder: Whose they are.
        session_id: Sorts by time.
        files: By group size; one a size.
        complete: Every file of the set is there, each final. Otherwise the set is progressive.
        superseded: Files of this run whose size is there in a better form.
        problems: Files that could not be read, a line each; they are in neither list.
        report: Its report, where one lies beside them.
    """

    folder: SessionFolder
    session_id: str
    files: tuple[CatalogFile, ...]
    complete: bool
    superseded: tuple[CatalogFile, ...] = ()
    problems: tuple[str, ...] = ()
    report: Path | None = None


def report_path(namespace: str, session: str, session_id: str) -> Path:
    """Returns where a run's report lies, relative to the archives' root."""
    return Path(namespace, session, f"{session_id}_report.html")


def list_sessions(root: Path) -> tuple[SessionFolder, ...]:
    """Returns the sessions with at least one archive below the root, sorted.

    Raises:
        ArchiveError: The root cannot be read.
    """
    with in_archive(root):
        found = [
            SessionFolder(namespace.name, session.name)
            for namespace in _folders(root)
            for session in _folders(Path(namespace.path))
            if any(True for _ in _files(Path(session.path)))
        ]
    return tuple(sorted(found))


def list_runs(root: Path, folder: SessionFolder) -> tuple[ArchivedRun, ...]:
    """Returns a session's runs, oldest first; none when it has no folder.

    Reads each file's manifest, not its contents.

    Raises:
        ArchiveError: The folder is there and cannot be read.
    """
    place = root / folder.namespace / folder.session
    names = (folder.namespace, folder.session)
    if not all(FOLDER_NAME.fullmatch(name) for name in names) or not place.is_dir():
        return ()
    by_run: dict[str, list[CatalogFile]] = {}
    with in_archive(place):
        for file in _files(place):
            by_run.setdefault(file.session_id, []).append(file)
    return tuple(_run(folder, session_id, by_run[session_id]) for session_id in sorted(by_run))


def latest_run(runs: Sequence[ArchivedRun], *, complete: bool = False) -> ArchivedRun | None:
    """Returns the newest run that has a readable file.

    Args:
        runs: In any order.
        complete: Whether progressive sets are passed over.
    """
    usable = [run for run in runs if run.files and (run.complete or not complete)]
    return max(usable, key=lambda run: run.session_id, default=None)


def find_run(
    runs: Sequence[ArchivedRun], name: str, *, damaged: bool = False
) -> ArchivedRun | None:
    """Returns the run a user names: by its session id, or by (the path of) one of its files.

    Args:
        runs: In any order.
        name: The name.
        damaged: Whether a run counts of which no file could be read.
    """
    file = name.rpartition("/")[2]
    match = _FILE.fullmatch(file)
    session_id = match["session_id"] if match else file
    found = (run for run in runs if run.session_id == session_id)
    return next((run for run in found if run.files or damaged), None)


def excess_files(
    runs: Sequence[ArchivedRun], retain: int, *, protect: Collection[str] = ()
) -> tuple[Path, ...]:
    """Returns the files to remove so that the newest ``retain`` runs remain. Pure.

    The newest complete run stays even when that many progressive sets are newer: it is what the
    next warm start needs. Superseded files go whatever their run's age.

    Args:
        runs: Of one session.
        retain: At least 1.
        protect: Session ids that stay whatever their age, such as the run that is going on.

    Raises:
        ValueError: ``retain`` is below 1.
    """
    if retain < 1:
        raise ValueError(f"retain is {retain}; at least 1 run is kept")
    readable = [run for run in runs if run.files]
    newest = sorted(readable, key=lambda run: run.session_id, reverse=True)
    kept = {run.session_id for run in newest[:retain]} | set(protect)
    if whole := latest_run(runs, complete=True):
        kept.add(whole.session_id)
    gone = [file for run in runs for file in run.superseded]
    old = [run for run in readable if run.session_id not in kept]
    gone += [file for run in old for file in run.files]
    reports = [run.report for run in old if run.report is not None]
    return tuple(sorted([*(file.path for file in gone), *reports]))


def remove_files(paths: Sequence[Path]) -> tuple[str, ...]:
    """Removes archives; returns what could not be removed, a line each.

    A file that stays costs space only, so it does not fail the run.
    """
    problems = []
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            problems.append(f"{path}: {error.strerror}")
    return tuple(problems)


def _run(folder: SessionFolder, session_id: str, files: Sequence[CatalogFile]) -> ArchivedRun:
    manifests: dict[Path, Manifest] = {}
    problems = []
    for file in files:
        try:
            manifest = read_manifest(file.path)
            _expect_same(file, manifest)
            manifests[file.path] = manifest
        except ArchiveError as error:
            problems.append(str(error))
    readable = [file for file in files if file.path in manifests]
    # A final file beats a progressive one, any size beats size 0 (a run without groups yet).
    ranked = sorted(
        readable,
        key=lambda f: (manifests[f.path].progressive, f.path.suffix != ".zst"),
    )
    chosen: dict[int, CatalogFile] = {}
    for file in ranked:
        chosen.setdefault(file.group_size, file)
    if len(chosen) > 1:
        chosen.pop(0, None)
    best = tuple(chosen[size] for size in sorted(chosen))
    finals = {f.group_size: manifests[f.path] for f in best if not manifests[f.path].progressive}
    complete = len(finals) == len(best) > 0 and all(
        set(manifest.sizes) <= finals.keys() for manifest in finals.values()
    )
    superseded = tuple(file for file in readable if file not in best)
    report = files[0].path.with_name(report_path("", "", session_id).name)
    return ArchivedRun(
        folder,
        session_id,
        best,
        complete,
        superseded,
        tuple(problems),
        report if report.is_file() and not report.is_symlink() else None,
    )


def _expect_same(file: CatalogFile, manifest: Manifest) -> None:
    if (manifest.session_id, manifest.group_size) != (file.session_id, file.group_size):
        raise ArchiveError(
            str(file.path), "is of another run or size than its name says", member="manifest.json"
        )


def _folders(place: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(place) as entries:
        for entry in entries:
            if FOLDER_NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                yield entry


def _files(place: Path) -> Iterator[CatalogFile]:
    with os.scandir(place) as entries:
        for entry in entries:
            match = _FILE.fullmatch(entry.name)
            if match is None or not entry.is_file(follow_symlinks=False):
                continue
            with suppress(FileNotFoundError):  # removed or replaced meanwhile
                size = entry.stat(follow_symlinks=False).st_size
                yield CatalogFile(Path(entry.path), match["session_id"], int(match["size"]), size)
