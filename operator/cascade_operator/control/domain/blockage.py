"""Whether a run stands still because none of its Jobs can start (82)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cascade_operator.api.status import GroupPhase
from cascade_operator.control.domain.draft import Draft, Situation
from cascade_operator.control.domain.model import JobState, JobView
from cascade_operator.control.domain.policies.diagnosis import NO_POD_SECONDS, Diagnosis, diagnose


@dataclass(frozen=True, slots=True)
class Blockage:
    """Why a run stands still.

    Attributes:
        job: The first Job that cannot start.
        diagnosis: Why.
        deadline: When that has lasted for ``startDeadlineSeconds``.
    """

    job: str
    diagnosis: Diagnosis
    deadline: datetime

    @property
    def message(self) -> str:
        """For a reader."""
        return f"Job {self.job}: {self.diagnosis.message}; {self.diagnosis.mend}"


def blockage(draft: Draft, situation: Situation) -> Blockage | None:
    """Finds why none of the run's Jobs can start; None while one runs or may still start.

    A full cluster lets some of fifteen pods wait while others train: that is no blockage.
    """
    started = _starts(draft)
    jobs = _at_work(draft, situation)
    if not jobs or any(job.state is not JobState.PENDING for job in jobs):
        return None
    since = max(started[job.name] for job in jobs)
    seconds = (situation.now - since).total_seconds()
    for job in jobs:
        found = diagnose(situation.observed.pods.get(job.name), seconds)
        if found is not None:
            lasts = timedelta(seconds=situation.spec.start_deadline_seconds)
            return Blockage(job.name, found, since + lasts)
    return None


def is_queued(draft: Draft, situation: Situation) -> bool:
    """Whether a queue holds every Job that the run waits for."""
    jobs = _at_work(draft, situation)
    return bool(jobs) and all(job.state is JobState.HELD for job in jobs)


def next_finding(draft: Draft, situation: Situation) -> datetime | None:
    """When time alone may show a blockage, or make it one that only a person can end."""
    found = blockage(draft, situation)
    if found is not None:
        return found.deadline
    started = _starts(draft)
    pending = [job for job in _at_work(draft, situation) if job.state is JobState.PENDING]
    times = [started[job.name] + timedelta(seconds=NO_POD_SECONDS) for job in pending]
    return max(times, default=None)


def _starts(draft: Draft) -> dict[str, datetime]:
    return {
        part.job_name: part.start_time or draft.run.start_time
        for part in draft.parts
        if part.phase is GroupPhase.RUNNING
    }


def _at_work(draft: Draft, situation: Situation) -> list[JobView]:
    jobs = situation.observed.jobs
    return [
        jobs[name] for name in sorted(_starts(draft)) if name in jobs and not jobs[name].state.ended
    ]
