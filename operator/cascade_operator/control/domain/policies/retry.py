"""Retry (82): what follows from how a worker ended.

The exit codes are those of sysexits.h where it has one; the worker's own are 66 (the run's data is
gone from Redis), 75 (memory gate reached, checkpoint saved) and 143 (told to stop).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from cascade_operator.api.exit_codes import ExitCode

OOM_KILLED: Final = "OOMKilled"
DEADLINE_EXCEEDED: Final = "DeadlineExceeded"
TAKEN_AWAY: Final = frozenset(
    {"Evicted", "NodeLost", "NodeShutdown", "Preempting", "Terminated", "NodeAffinity"}
    | {"OutOfcpu", "OutOfmemory", "OutOfpods", "OutOfephemeral-storage", "UnexpectedAdmissionError"}
)
"""What a pod says whose node took it away, or would not take it: nothing about the worker.

Most of these never fail a Job: the pod has the condition ``DisruptionTarget``, and the Job gets
another one. A kubelet that turns a pod away, or an old one that evicts it, sets no condition.
"""

BACKOFF_FIRST_SECONDS: Final = 30.0
BACKOFF_MOST_SECONDS: Final = 600.0
STOPPED_PAUSE_SECONDS: Final = 10.0
"""Between a worker told to stop and its return: something that keeps stopping it must not spin."""


class Verdict(StrEnum):
    """What a failed Job calls for."""

    FAIL = "Fail"
    """The same input would fail again."""
    RETRY = "Retry"
    """Again after a pause, one failure counted."""
    MORE_MEMORY = "MoreMemory"
    """Again with a higher limit, no failure counted."""
    PREPARE_AGAIN = "PrepareAgain"
    """Again after the run's data has been restored, one failure counted so that it ends."""
    RESUME = "Resume"
    """Again from its checkpoint, no failure counted."""


_BY_EXIT_CODE: Final = {
    int(ExitCode.SPEC): Verdict.FAIL,
    int(ExitCode.DATA): Verdict.FAIL,
    int(ExitCode.RUN_DATA_GONE): Verdict.PREPARE_AGAIN,
    int(ExitCode.MEMORY_GATE): Verdict.MORE_MEMORY,
    int(ExitCode.TERMINATED): Verdict.RESUME,
}


def judge(exit_code: int | None, reason: str) -> Verdict:
    """Judges a failed Job.

    Args:
        exit_code: The worker's; None where no container ended (a deadline, a lost node).
        reason: As in ``JobView``. A bare 137 says only that something sent SIGKILL, so more memory
            takes the kernel's word for it: ``OOMKilled``. A worker that the Job's deadline had to
            end hangs: though it says 143 like one told to stop, that counts as a failure, so that
            it ends. ``BackoffLimitExceeded`` and ``PodFailurePolicy`` say only that a pod failed.
    """
    if reason == OOM_KILLED:
        return Verdict.MORE_MEMORY
    if reason == DEADLINE_EXCEEDED:
        return Verdict.RETRY
    if reason in TAKEN_AWAY and _BY_EXIT_CODE.get(exit_code or 0) is None:
        return Verdict.RESUME
    return Verdict.RETRY if exit_code is None else _BY_EXIT_CODE.get(exit_code, Verdict.RETRY)


def backoff_seconds(failures: int) -> float:
    """The pause before the next attempt: 30 s doubled with each failure, 10 min at most.

    Args:
        failures: How many there were, from 1.
    """
    doublings = min(max(failures - 1, 0), 16)
    return min(BACKOFF_FIRST_SECONDS * 2.0**doublings, BACKOFF_MOST_SECONDS)


def out_of_retries(failures: int, backoff_limit: int) -> bool:
    """Whether that was the last attempt: as in a Job, the limit counts retries, not attempts."""
    return failures > backoff_limit
