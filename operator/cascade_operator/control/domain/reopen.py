"""A failed run that is taken up again where it failed (82). Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from cascade_operator.api.status import GroupPhase, Phase, TrainingSessionStatus
from cascade_operator.control.domain.draft import Draft
from cascade_operator.control.domain.policies.archiving import ArchiveKind

_AGAIN: Final[dict[str, Any]] = {"phase": GroupPhase.PENDING, "failures": 0, "retry_time": None}


def reopened(status: TrainingSessionStatus, now: datetime) -> TrainingSessionStatus:
    """Returns a failed run's status as one that goes on: what failed is tried afresh.

    What has succeeded stays. The time since the failure does not count as the run's duration, and
    its line in history goes: it has not ended. Any other status comes back as it is.

    Args:
        status: The session's status.
        now: The time, with a time zone.
    """
    run = status.run
    if run is None or run.completion_time is None or status.phase is not Phase.FAILED:
        return status
    draft = Draft(status)
    for group in draft.groups:
        if group.phase is GroupPhase.FAILED:
            draft = draft.put_group(group.name, **_AGAIN)
    archive = draft.archive
    final = archive.phase is GroupPhase.SUCCEEDED and archive.kind == ArchiveKind.FINAL
    if archive.phase is GroupPhase.FAILED or final:
        draft = draft.put_archive(**_AGAIN)
    if draft.prepare.phase is GroupPhase.FAILED or final:
        # A final archive takes the run's data out of Redis: prepare restores it from there.
        draft = draft.put_prepare(**_AGAIN)
    away = max(0, int((now - run.completion_time).total_seconds()))
    draft = draft.put_run(completion_time=None, paused_seconds=run.paused_seconds + away)
    return draft.put(
        phase=Phase.PENDING,
        history=[entry for entry in status.history if entry.number != run.number],
    ).status
