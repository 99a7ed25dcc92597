"""What a state folder holds of one run, for its report; reads only, also while the run goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import yaml

from cascade_operator.api.errors import DataError
from cascade_operator.api.session import TrainingSessionSpec
from cascade_operator.api.status import TrainingSessionStatus
from cascade_operator.archive.catalog import ArchivedRun, list_runs, list_sessions
from cascade_operator.archive.decoder import TableDecoder
from cascade_operator.archive.errors import ArchiveError
from cascade_operator.archive.model import RunArchive, combine
from cascade_operator.archive.reader import read_archive
from cascade_operator.report.build import RunSources
from cascade_operator.report.model import ArchiveView

_MAX_BYTES: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class _Session:
    """A session's files: its name, its namespace, what it asks and its status."""

    name: str
    namespace: str
    spec: TrainingSessionSpec | None
    status: TrainingSessionStatus | None

    def runs(self) -> tuple[str, ...]:
        """Session ids of its runs, the current one first."""
        if self.status is None:
            return ()
        current = () if self.status.run is None else (self.status.run.session_id,)
        past = tuple(entry.session_id for entry in self.status.history)
        return tuple(dict.fromkeys((*current, *past)))


def sources_of_run(state: Path, run: str, *, now: datetime) -> RunSources:
    """Returns what is at hand of a run.

    Args:
        state: The state folder.
        run: A run's session id, or a session's name for its last run.
        now: The time, for a run that goes on.

    Raises:
        DataError: The folder knows no such run; its message lists what is there.
    """
    sessions = list(_sessions(state))
    named = next((s for s in sessions if s.name == run), None)
    session_id = run if named is None else next(iter(named.runs()), "")
    archived = [
        one
        for one in _archived(state)
        if one.session_id == session_id and (named is None or one.folder.session == named.name)
    ]
    owners = [named] if named is not None else [s for s in sessions if session_id in s.runs()]
    if len({o.name for o in owners} | {one.folder.session for one in archived}) > 1:
        names = sorted({o.name for o in owners} | {one.folder.session for one in archived})
        raise DataError(
            f"several sessions have a run {run}: {', '.join(names)}",
            mend="name the session, or give the archives' files",
        )
    if (not owners and not archived) or not session_id:
        raise DataError(f"{state} has no run {run}", mend=_what_is_there(state, sessions))
    owner = owners[0] if owners else None
    return _sources(owner, archived[0] if archived else None, session_id, now)


def sources_of_files(files: Sequence[Path]) -> RunSources:
    """Returns what archive files hold of their run.

    Raises:
        DataError: None of them can be read, or they are of several runs.
    """
    archive, notes = _read(files)
    if archive is None:
        raise DataError(f"no report: {notes[0]}", mend="`cascade archive verify FILE` says more")
    views = tuple(map(_view, files))
    given = {view.group_size for view in views}
    missing = [f"{size:02d}" for size in archive.sizes if size not in given]
    if missing:
        notes = (*notes, f"Archives of size {', '.join(missing)} of this run were not given.")
    return RunSources(
        namespace=archive.namespace,
        session=archive.session,
        session_id=archive.session_id,
        archive=replace(archive, sizes=tuple(sorted(given))),
        archives=views,
        notes=notes,
    )


def _sources(
    owner: _Session | None, archived: ArchivedRun | None, session_id: str, now: datetime
) -> RunSources:
    archive, notes = (None, ()) if archived is None else _read([f.path for f in archived.files])
    problems = () if archived is None else archived.problems
    status = None if owner is None else owner.status
    current = status is not None and status.run is not None and status.run.session_id == session_id
    past = [] if status is None else [e for e in status.history if e.session_id == session_id]
    if archive is None:
        notes = (*notes, "Nothing of this run is archived; this is what its status says.")
    files = () if archived is None else tuple(_view(f.path) for f in archived.files)
    return RunSources(
        namespace=archive.namespace if archive else owner.namespace if owner else "",
        session=archive.session if archive else owner.name if owner else "",
        session_id=session_id,
        archive=archive,
        status=status if current else None,
        history=past[0] if past and not current else None,
        spec=owner.spec if owner is not None and current else None,
        archives=files,
        notes=(*problems, *notes),
        now=now,
    )


def _read(files: Sequence[Path]) -> tuple[RunArchive | None, tuple[str, ...]]:
    """The files as one run; what cannot be read is left out and named."""
    parts: list[RunArchive] = []
    notes = []
    with TableDecoder() as decoder:
        for file in files:
            try:
                parts.append(read_archive(file, decoder=decoder))
            except ArchiveError as error:
                notes.append(f"An archive is left out: {error}")
    if not parts:
        return None, tuple(notes)
    try:
        return combine(parts), tuple(notes)
    except ArchiveError as error:
        raise DataError(str(error), mend="give the archives of one run") from error


def _view(file: Path) -> ArchiveView:
    size = file.name.partition("_size")[2][:2]
    try:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            length = stream.tell()
    except OSError:
        digest, length = "", 0
    return ArchiveView(file.name, int(size) if size.isdigit() else 0, length, digest)


def _archived(state: Path) -> Iterator[ArchivedRun]:
    for root in _archive_roots(state):
        for folder in list_sessions(root):
            yield from list_runs(root, folder)


def _archive_roots(state: Path) -> list[Path]:
    """The claims' folders, and those below them that a session's subPath names."""
    claims = [path for path in sorted((state / "volumes").glob("*")) if path.is_dir()]
    named = {
        (
            s.spec.archive.persistent_volume_claim.claim_name,
            s.spec.archive.persistent_volume_claim.sub_path,
        )
        for s in _sessions(state)
        if s.spec is not None and s.spec.archive.persistent_volume_claim.sub_path
    }
    below = [state / "volumes" / claim / path for claim, path in sorted(named)]
    return [*claims, *(path for path in below if path.is_dir())]


def _sessions(state: Path) -> Iterator[_Session]:
    for folder in sorted((state / "sessions").glob("*")):
        if not folder.is_dir():
            continue
        held = _yaml(folder / "session.yaml")
        metadata = held.get("metadata")
        namespace = metadata.get("namespace") if isinstance(metadata, dict) else None
        yield _Session(
            folder.name,
            namespace if isinstance(namespace, str) else "default",
            _spec(held.get("spec")),
            _status(_yaml(folder / "status.yaml")),
        )


def _spec(value: Any) -> TrainingSessionSpec | None:
    try:
        return TrainingSessionSpec.model_validate_json(json.dumps(value, default=str))
    except ValueError:
        return None


def _status(value: dict[str, Any]) -> TrainingSessionStatus | None:
    try:
        # Through JSON, as from an API server: the models take no other form of a time.
        return TrainingSessionStatus.model_validate_json(json.dumps(value, default=str))
    except ValueError:
        return None


def _yaml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            content = yaml.safe_load(stream.read(_MAX_BYTES))
    except (OSError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _what_is_there(state: Path, sessions: Sequence[_Session]) -> str:
    known: dict[str, list[str]] = {session.name: list(session.runs()) for session in sessions}
    for run in _archived(state):
        runs = known.setdefault(run.folder.session, [])
        if run.session_id not in runs:
            runs.append(run.session_id)
    if not known:
        return "`cascade run` makes one; --state DIR names another state folder"
    return "there are: " + "; ".join(
        f"{name} ({', '.join(runs) or 'no run yet'})" for name, runs in sorted(known.items())
    )
