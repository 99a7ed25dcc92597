"""What is found about each attempt that has not started (82)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from cascade_operator.api.status import GroupPhase
from cascade_operator.control.domain.draft import Draft, Part, Situation
from cascade_operator.control.domain.model import JobState
from cascade_operator.control.domain.policies.diagnosis import (
    NO_POD_SECONDS,
    Diagnosis,
    diagnose,
    diagnose_refusal,
)
from cascade_operator.control.manifests.naming import config_map_name


@dataclass(frozen=True, slots=True)
class Finding:
    """An object of an attempt that runs according to status, and does not.

    Attributes:
        what: ``Job triage-r1-00``.
        since: Since when.
        diagnosis: Why; None where it may just need more time.
        look_again: When time alone may give a diagnosis.
    """

    what: str
    since: datetime
    diagnosis: Diagnosis | None
    look_again: datetime | None = None


def running_parts(draft: Draft) -> list[Part]:
    """The parts that have an attempt at work, by their Jobs' names."""
    parts = [part for part in draft.parts if part.phase is GroupPhase.RUNNING]
    return sorted(parts, key=lambda part: part.job_name)


def part_finding(part: Part, draft: Draft, situation: Situation) -> Finding | None:
    """What is found about one attempt's Job; None where it is at work, held, or not yet made."""
    started = part.start_time or draft.run.start_time
    what, observed = f"Job {part.job_name}", situation.observed
    job = observed.jobs.get(part.job_name)
    if job is None:
        refusal = observed.refused.get(part.job_name)
        if refusal is None:
            return None
        return Finding(what, refusal.since or started, diagnose_refusal(refusal))
    if job.state is not JobState.PENDING:
        return None
    since = max(job.pending_since or started, started)
    seconds = (situation.now - since).total_seconds()
    diagnosis = diagnose(observed.pods.get(part.job_name), seconds)
    return Finding(what, since, diagnosis, since + timedelta(seconds=NO_POD_SECONDS))


def config_finding(draft: Draft, situation: Situation) -> Finding | None:
    """What is found about the run's ConfigMap, without which no pod starts."""
    observed, run = situation.observed, draft.run
    name = config_map_name(observed.session.name, run.number)
    refusal = observed.refused.get(name)
    if refusal is None or name in observed.config_maps:
        return None
    return Finding(f"ConfigMap {name}", refusal.since or run.start_time, diagnose_refusal(refusal))


def is_unanswered(part: Part, situation: Situation) -> bool:
    """Whether a part's Job is not there, and nothing is known of its creation yet."""
    observed = situation.observed
    return part.job_name not in observed.jobs and part.job_name not in observed.refused


def findings(draft: Draft, situation: Situation) -> Iterator[Finding]:
    """All findings, the run's own first."""
    if (found := config_finding(draft, situation)) is not None:
        yield found
    for part in running_parts(draft):
        if (found := part_finding(part, draft, situation)) is not None:
            yield found
