"""When a session needs no more planning, and what its end means as an exit code. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cascade_operator.api.errors import SpecError
from cascade_operator.api.exit_codes import ExitCode
from cascade_operator.api.status import (
    ConditionType,
    GroupPhase,
    Phase,
    TrainingSessionStatus,
)
from cascade_operator.control.domain.model import JobView, SessionView
from cascade_operator.control.manifests.labels import (
    RETRAIN_ANNOTATION,
    STAGE,
    STAGE_ARCHIVE,
    STAGE_GROUP,
    STAGE_PREPARE,
    run_of,
)

_KILLED: Final = 137
_STAGE_OF_REASON: Final = {
    "PrepareFailed": STAGE_PREPARE,
    "GroupsFailed": STAGE_GROUP,
    "ArchiveFailed": STAGE_ARCHIVE,
}


def is_settled(session: SessionView) -> bool:
    """Whether the planner has seen all that is asked and has ended, or suspended, it."""
    status = session.status
    request = session.annotations.get(RETRAIN_ANNOTATION, "")
    if status.observed_generation != session.generation:
        return False
    if request and request != status.last_retrain_request:
        return False
    if status.phase is Phase.SUSPENDED:
        archiving = status.run is not None and status.run.archive.phase is GroupPhase.RUNNING
        return session.spec is not None and session.spec.suspend and not archiving
    finished = status.run is not None and status.run.completion_time is not None
    return finished and status.phase in (Phase.COMPLETE, Phase.FAILED)


def exit_code_of(
    status: TrainingSessionStatus, jobs: Mapping[str, JobView], *, stopped: bool
) -> ExitCode:
    """The exit code of a command that ends with this status.

    A failed run ends as the worker ended that failed last in the stage that failed.

    Args:
        status: The session's status.
        jobs: Its Jobs, of all runs.
        stopped: Whether the command was told to stop.
    """
    if status.phase is Phase.COMPLETE:
        return ExitCode.OK
    if status.phase is not Phase.FAILED:
        return ExitCode.TERMINATED if stopped else ExitCode.OK
    stage = _failed_stage(status)
    number = status.run.number if status.run is not None else 0
    failed = [
        job
        for job in jobs.values()
        if job.finished is not None
        and job.exit_code
        and run_of(job.labels) == number
        and stage in ("", job.labels.get(STAGE))
    ]
    failed.sort(key=lambda job: (job.finished, job.name))
    return _as_documented(failed[-1].exit_code) if failed else ExitCode.SOFTWARE


def stalled_error(status: TrainingSessionStatus) -> SpecError | None:
    """The error to end with where nothing but a changed session can help."""
    if status.phase is Phase.FAILED:
        return None
    for condition in status.conditions:
        if condition.type is ConditionType.STALLED and condition.status == "True":
            return SpecError(f"{condition.reason}: {condition.message}")
    return None


def _failed_stage(status: TrainingSessionStatus) -> str:
    for condition in status.conditions:
        if condition.status == "True" and condition.reason in _STAGE_OF_REASON:
            return _STAGE_OF_REASON[condition.reason]
    return ""


def _as_documented(code: int | None) -> ExitCode:
    if code == _KILLED:
        return ExitCode.MEMORY_GATE
    try:
        return ExitCode(code or ExitCode.SOFTWARE)
    except ValueError:
        return ExitCode.SOFTWARE
