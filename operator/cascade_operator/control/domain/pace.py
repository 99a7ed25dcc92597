"""How often live figures alone are written (60)."""

from __future__ import annotations

from datetime import datetime, timedelta

from cascade_operator.api.status import TrainingSessionStatus
from cascade_operator.control.domain.draft import Draft, Situation


def paced(draft: Draft, situation: Situation) -> tuple[Draft, datetime | None]:
    """Holds back a status in which live figures alone have changed, until their time has come.

    A transition takes fresh figures along. What depends on the clock alone, such as the estimate,
    is no reason for a write.

    Returns:
        The draft, and when what it holds back may be written; None where it holds nothing back.
    """
    before = situation.observed.session.status
    if _without_clock(draft.status, before) == before:
        return draft.put(progress=before.progress), None
    due = next_figures(before, situation)
    bare = _without_figures(draft.status, before)
    if due is not None and situation.now < due and bare == before:
        return draft.put(**dict(before)), due
    if draft.status.progress is None or bare == _without_clock(draft.status, before):
        return draft, None  # a transition without new figures
    fresh = draft.status.progress.model_copy(update={"last_update_time": situation.now})
    return draft.put(progress=fresh), None


def next_figures(status: TrainingSessionStatus, situation: Situation) -> datetime | None:
    """When live figures alone may be written next; None where none were written yet."""
    if status.progress is None or status.progress.last_update_time is None:
        return None
    seconds = situation.observed.progress_seconds
    return status.progress.last_update_time + timedelta(seconds=seconds)


def _without_clock(
    status: TrainingSessionStatus, before: TrainingSessionStatus
) -> TrainingSessionStatus:
    if status.progress is None or before.progress is None:
        return status
    estimate = before.progress.estimated_remaining_seconds
    progress = status.progress.model_copy(update={"estimated_remaining_seconds": estimate})
    return status.model_copy(update={"progress": progress})


def _without_figures(
    status: TrainingSessionStatus, before: TrainingSessionStatus
) -> TrainingSessionStatus:
    """The status with the live figures of the one before."""
    if status.run is None or before.run is None or len(status.groups) != len(before.groups):
        return status
    prepare = status.run.prepare.model_copy(update={"calls": before.run.prepare.calls})
    run = status.run.model_copy(update={"prepare": prepare, "spent": before.run.spent})
    groups = [
        group.model_copy(update={"calls": earlier.calls})
        for group, earlier in zip(status.groups, before.groups, strict=True)
    ]
    return status.model_copy(update={"run": run, "groups": groups, "progress": before.progress})
