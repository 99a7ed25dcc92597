"""What a failed attempt of a stage or a group leads to: the retry and memory policies together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from cascade_operator.api.exit_codes import ExitCode
from cascade_operator.api.quantity import format_quantity
from cascade_operator.api.records import Failure
from cascade_operator.api.status import GroupPhase
from cascade_operator.control.domain.draft import Part, Situation, bounded
from cascade_operator.control.domain.limits import memory_of, most_per_job
from cascade_operator.control.domain.model import JobView
from cascade_operator.control.domain.policies.memory import escalate
from cascade_operator.control.domain.policies.retry import (
    DEADLINE_EXCEEDED,
    OOM_KILLED,
    STOPPED_PAUSE_SECONDS,
    Verdict,
    backoff_seconds,
    judge,
    out_of_retries,
)
from cascade_operator.control.manifests.labels import STAGE_PREPARE

MEMORY_LIMIT_REACHED: Final = "MemoryLimitReached"
_ATTEMPTS_MOST: Final = 10_000
"""What status can count: a worker that is stopped again and again must end some day."""
_SAYS_NOTHING: Final = frozenset({"", "BackoffLimitExceeded", "PodFailurePolicy"})

_REASON_BY_EXIT_CODE: Final[Mapping[int, str]] = {
    int(ExitCode.SPEC): "InvalidSpec",
    int(ExitCode.DATA): "InvalidData",
    int(ExitCode.RUN_DATA_GONE): "RunDataGone",
    int(ExitCode.UNAVAILABLE): "ServiceUnavailable",
    int(ExitCode.ARCHIVE_WRITE): "ArchiveWriteFailed",
    int(ExitCode.MEMORY_GATE): "MemoryGate",
    int(ExitCode.TERMINATED): "Terminated",
}


@dataclass(frozen=True, slots=True)
class Setback:
    """The answer.

    Attributes:
        changes: Fields of the stage's or group's status.
        final: There is no further attempt.
        data_gone: The run's data has to be prepared again first.
        more_memory: The next attempt has a higher limit.
        oom_killed: The kernel ended the attempt.
        summary: For an event.
    """

    changes: Mapping[str, Any]
    final: bool
    data_gone: bool
    more_memory: bool
    summary: str
    oom_killed: bool = False


def setback(part: Part, job: JobView, stage: str, situation: Situation) -> Setback:
    """Decides what follows a failed Job.

    Args:
        part: The stage or group as it stands in status, its attempt running.
        job: The attempt's Job, failed.
        stage: ``prepare``, ``group`` or ``archive``.
        situation: Spec and time.
    """
    verdict = judge(job.exit_code, job.reason)
    if part.attempt >= _ATTEMPTS_MOST:
        verdict = Verdict.FAIL
    told = _told(job)
    changes: dict[str, Any] = {"reason": _reason(job), "message": bounded(told)}
    if peak := _peak(job):
        changes["peak_memory"] = format_quantity(peak)
    if verdict is Verdict.MORE_MEMORY:
        back = _more_memory(part, changes, stage, situation)
        return replace(back, oom_killed=job.reason == OOM_KILLED)
    if verdict is Verdict.RESUME:
        again = _at(job, situation, STOPPED_PAUSE_SECONDS)
        return _again(changes, again, f"told to stop: {told}", verdict)
    failures = part.failures + 1
    changes["failures"] = failures
    if verdict is Verdict.FAIL or out_of_retries(failures, situation.spec.backoff_limit):
        return _failed(changes, told)
    # Who finds the data gone waits for prepare anyway, and prepare has a backoff of its own.
    wait = verdict is Verdict.RETRY or stage == STAGE_PREPARE
    later = _at(job, situation, backoff_seconds(failures)) if wait else None
    return _again(changes, later, told, verdict)


def _more_memory(part: Part, changes: dict[str, Any], stage: str, situation: Situation) -> Setback:
    limit = memory_of(part, stage, situation)
    most = most_per_job(situation.spec, stage)
    raised = escalate(limit, factor=situation.spec.memory.escalation_factor, most=most)
    if raised is None:
        text = (
            f"ran out of memory at {format_quantity(limit)}, and {format_quantity(most)} is the "
            "most a Job may have; raise memory.maxPerJob (and memory.budget), or lower "
            "models.task.maxParallelCalls"
        )
        return _failed({**changes, "reason": MEMORY_LIMIT_REACHED, "message": text}, text)
    text = f"ran out of memory at {format_quantity(limit)}; again with {format_quantity(raised)}"
    changes = {**changes, "memory_limit": format_quantity(raised), "message": text}
    return _again(changes, None, text, Verdict.MORE_MEMORY)


def _again(
    changes: Mapping[str, Any], again: datetime | None, summary: str, verdict: Verdict
) -> Setback:
    return Setback(
        {**changes, "phase": GroupPhase.PENDING, "retry_time": again},
        final=False,
        data_gone=verdict is Verdict.PREPARE_AGAIN,
        more_memory=verdict is Verdict.MORE_MEMORY,
        summary=summary,
    )


def _failed(changes: Mapping[str, Any], summary: str) -> Setback:
    return Setback(
        {**changes, "phase": GroupPhase.FAILED, "retry_time": None},
        final=True,
        data_gone=False,
        more_memory=False,
        summary=summary,
    )


def _at(job: JobView, situation: Situation, seconds: float) -> datetime:
    """The pause counts from the Job's end: a plan made twice, or late, gives the same time."""
    ended = (job.finished or situation.now).replace(microsecond=0)
    return ended + timedelta(seconds=seconds)


def _reason(job: JobView) -> str:
    if job.reason in (OOM_KILLED, DEADLINE_EXCEEDED):
        return job.reason
    if job.exit_code is not None and job.exit_code in _REASON_BY_EXIT_CODE:
        return _REASON_BY_EXIT_CODE[job.exit_code]
    return "Error" if job.reason in _SAYS_NOTHING else bounded(job.reason, 128)


def _told(job: JobView) -> str:
    """The worker's own words, else what the cluster knows."""
    if isinstance(job.message, Failure) and job.message.message:
        mend = f"; {job.message.mend}" if job.message.mend else ""
        return f"{job.message.message}{mend}"
    code = "" if job.exit_code is None else f" with exit code {job.exit_code}"
    return f"the Job {job.name} ended{code} ({job.reason or 'no reason given'})"


def _peak(job: JobView) -> int:
    return job.message.peak_memory if isinstance(job.message, Failure) else 0
