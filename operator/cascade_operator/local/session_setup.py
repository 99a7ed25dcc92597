"""What a session becomes on one machine before the planner sees it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from cascade_operator.api.errors import DataError
from cascade_operator.api.session import TrainingSession
from cascade_operator.control.domain.reopen import reopened
from cascade_operator.control.domain.run_start import trigger
from cascade_operator.control.manifests.labels import RETRAIN_ANNOTATION
from cascade_operator.local.capacity import (
    available_cpus,
    available_memory,
    fitting_parallelism,
)
from cascade_operator.local.embedded import needs_of
from cascade_operator.local.servers.chat import CHAT_MODEL_NOTE
from cascade_operator.local.session_store import StoredSession
from cascade_operator.local.state import StateFolder


def annotations_for(stored: StoredSession, *, retrain: bool) -> dict[str, str]:
    """The session's annotations, with the request for a new run where one is wanted.

    The planner starts a run when the value differs from the last one it acted on. So the value of
    an earlier command stays until the user asks again, here or in the file.
    """
    written = stored.annotations.get(RETRAIN_ANNOTATION, "")
    last = stored.status.last_retrain_request
    run = stored.status.run
    finished = run is not None and run.completion_time is not None
    if finished and retrain:
        value = f"{written} {datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}".strip()
    elif last and (not written or last == written or last.startswith(f"{written} ")):
        value = last
    else:
        value = written
    return {**stored.annotations, **({RETRAIN_ANNOTATION: value} if value else {})}


def take_up_failed_run(stored: StoredSession, now: datetime) -> None:
    """Has a failed run go on where it failed, unless the session asks for another one.

    Nothing is written yet: the planner's next status will be.
    """
    if trigger(stored.view()) is None:
        stored.status = reopened(stored.status, now)


def fit_to_machine(stored: StoredSession) -> tuple[str, ...]:
    """Takes out of the spec what one machine cannot do; returns what to tell the user."""
    stored.session, notes = fitted(stored.session)
    return notes


def fitted(session: TrainingSession) -> tuple[TrainingSession, tuple[str, ...]]:
    """Returns the session without what one machine cannot do, and what to tell the user."""
    spec, notes = session.spec, []
    embedded = needs_of(spec).chat
    if embedded:
        notes.append(CHAT_MODEL_NOTE)
    fitting = fitting_parallelism(
        spec, embedded_model=embedded, cpus=available_cpus(), free_bytes=available_memory()
    )
    if fitting < spec.parallelism and "parallelism" in spec.model_fields_set:
        notes.append(f"this machine runs {fitting} Jobs at once, not {spec.parallelism}")
    if spec.schedule:
        notes.append("the schedule has effect in a cluster only")
    # None of these is part of what a run's hash covers, so nothing is trained again for them.
    return with_spec(session, parallelism=fitting, schedule="", queue_name=""), tuple(notes)


def with_spec(session: TrainingSession, **changes: object) -> TrainingSession:
    """The session with some fields of its spec changed."""
    spec = session.spec.model_copy(update=changes)
    return session.model_copy(update={"spec": spec})


def job_environment(
    session: TrainingSession, base_dir: Path, folder: StateFolder
) -> dict[str, str]:
    """What Jobs get on this machine beside their manifests' environment.

    Raises:
        DataError: The trace file the session names is missing.
    """
    password = password_file(session, folder)
    found = {
        "CASCADE_LOG": "text",
        "CASCADE_SECRETS": str(folder.path / "secrets"),
        "CASCADE_REDIS_PASSWORD_FILE": "" if password is None else str(password),
        # Compiling takes longer than the work on few records, so what was compiled is kept.
        "NUMBA_CACHE_DIR": str(folder.path / "cache" / "numba"),
    }
    traces = trace_file(session, base_dir)
    if traces is not None:
        found["CASCADE_TRACES_FILE"] = str(traces)
    return found


def trace_file(session: TrainingSession, base_dir: Path) -> Path | None:
    """The trace file that a session names outright; None where its traces come from elsewhere.

    Raises:
        DataError: It is missing.
    """
    if not session.spec.traces.file:
        return None
    traces = (base_dir / session.spec.traces.file).resolve()
    if not traces.is_file():
        raise DataError(
            f"the trace file {traces} is not there",
            mend="spec.traces.file is a path relative to the session's file",
        )
    return traces


def password_file(session: TrainingSession, folder: StateFolder) -> Path | None:
    """The file with the password of the session's Redis; None where its user put none."""
    reference = session.spec.redis.password_secret_ref
    file = folder.secret(reference.name) / reference.key
    return file if file.is_file() else None
