"""Why attempts at work have not started, in their own lines of the status (82)."""

from __future__ import annotations

from typing import Any, Final

from cascade_operator.api.status import ConditionType, GroupStatus, TrainingSessionStatus
from cascade_operator.control.domain.blockage import QUEUED
from cascade_operator.control.domain.draft import Draft, Part, Situation, bounded
from cascade_operator.control.domain.findings import (
    is_unanswered,
    part_finding,
    running_parts,
)
from cascade_operator.control.domain.model import JobState
from cascade_operator.control.domain.policies.diagnosis import BlockReason

DISRUPTED: Final = "Disrupted"
"""The cluster took an attempt's pod away; another one goes on from the last checkpoint."""

_WARNED: Final = frozenset({DISRUPTED, *map(str, BlockReason)})
_OURS: Final = _WARNED | {QUEUED}


def with_waits(draft: Draft, situation: Situation) -> Draft:
    """Says of each attempt at work why it does not run, if that is known.

    Words change with every look of a scheduler, so they are written with their reason and stay
    until that changes.
    """
    for part in running_parts(draft):
        # What an operator was refused before it was restarted is not forgotten; a queue holds no
        # Job that is not there.
        if is_unanswered(part, situation) and part.reason != QUEUED:
            continue
        reason, message = _wait_of(part, draft, situation)
        if reason == part.reason or not (reason or part.reason in _OURS):
            continue
        draft = _put(draft, part, {"reason": reason, "message": bounded(message)})
        if reason == DISRUPTED:
            draft = draft.warn(DISRUPTED, bounded(f"{part.job_name}: {message}"))
    return draft


def tell_blockage(draft: Draft, before: TrainingSessionStatus) -> Draft:
    """Warns once when a run begins to stand still, or does for another reason."""
    new, old = _ready(draft.status), _ready(before)
    if new is None or new[0] not in _WARNED or (old is not None and old[0] == new[0]):
        return draft
    return draft.warn(*new)


def _wait_of(part: Part, draft: Draft, situation: Situation) -> tuple[str, str]:
    job = situation.observed.jobs.get(part.job_name)
    if job is not None and job.state is JobState.HELD:
        return QUEUED, "a queue holds its Job"
    found = part_finding(part, draft, situation)
    if found is None:
        return "", ""
    if found.diagnosis is not None:
        return str(found.diagnosis.reason), f"{found.diagnosis.message}; {found.diagnosis.mend}"
    pod = situation.observed.pods.get(part.job_name)
    if pod is None or not pod.disrupted:
        return "", ""
    return DISRUPTED, f"{pod.disrupted}; another pod goes on from the last checkpoint"


def _put(draft: Draft, part: Part, changes: dict[str, Any]) -> Draft:
    if isinstance(part, GroupStatus):
        return draft.put_group(part.name, **changes)
    if part.job_name == draft.prepare.job_name:
        return draft.put_prepare(**changes)
    return draft.put_archive(**changes)


def _ready(status: TrainingSessionStatus) -> tuple[str, str] | None:
    for condition in status.conditions:
        if condition.type is ConditionType.READY:
            return condition.reason, condition.message
    return None
