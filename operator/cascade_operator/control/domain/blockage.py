"""Whether a run stands still because none of its Jobs can start (82)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cascade_operator.control.domain.draft import Draft, Situation
from cascade_operator.control.domain.findings import findings, is_unanswered, running_parts
from cascade_operator.control.domain.model import JobState, JobView
from cascade_operator.control.domain.policies.diagnosis import Diagnosis

QUEUED: Final = "Queued"
"""A queue holds a Job, or all that a run waits for."""


@dataclass(frozen=True, slots=True)
class Blockage:
    """Why a run stands still.

    Attributes:
        what: The first object that keeps it from starting: ``Job triage-r1-00``.
        diagnosis: Why.
        deadline: When that has lasted for ``startDeadlineSeconds``.
    """

    what: str
    diagnosis: Diagnosis
    deadline: datetime

    @property
    def message(self) -> str:
        """For a reader."""
        return f"{self.what}: {self.diagnosis.message}; {self.diagnosis.mend}"


def blockage(draft: Draft, situation: Situation) -> Blockage | None:
    """Finds why none of the run's Jobs can start; None while one runs or may still start.

    A full cluster, or quota, lets some of fifteen Jobs wait while others train: that is no
    blockage.
    """
    if any(job.state is not JobState.PENDING for job in _at_work(draft, situation)):
        return None
    found = tuple(findings(draft, situation))
    since = max((finding.since for finding in found), default=None)
    if since is None:
        return None
    for finding in found:
        if finding.diagnosis is not None:
            seconds = 0 if finding.diagnosis.final else situation.spec.start_deadline_seconds
            return Blockage(finding.what, finding.diagnosis, since + timedelta(seconds=seconds))
    return None


def is_queued(draft: Draft, situation: Situation) -> bool:
    """Whether a queue holds every Job that the run waits for."""
    jobs = _at_work(draft, situation)
    return bool(jobs) and all(job.state is JobState.HELD for job in jobs)


def awaits_answer(draft: Draft, situation: Situation) -> bool:
    """Whether every Job that the run waits for is still to be made.

    An operator that has just started does not know what it was refused; until it has asked again,
    what status says of that stands.
    """
    parts = running_parts(draft)
    return bool(parts) and all(is_unanswered(part, situation) for part in parts)


def next_finding(draft: Draft, situation: Situation) -> datetime | None:
    """When time alone may show a blockage, or make it one that only a person can end."""
    stuck = blockage(draft, situation)
    if stuck is not None:
        return stuck.deadline
    return max(
        (f.look_again for f in findings(draft, situation) if f.look_again is not None),
        default=None,
    )


def _at_work(draft: Draft, situation: Situation) -> list[JobView]:
    jobs = situation.observed.jobs
    names = [part.job_name for part in running_parts(draft)]
    return [jobs[name] for name in names if name in jobs and not jobs[name].state.ended]
