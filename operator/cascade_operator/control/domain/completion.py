"""When a run is over, and how it ended (82)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cascade_operator.api.status import ConditionType, GroupPhase, Phase
from cascade_operator.control.domain.draft import Draft, Situation, bounded, is_terminal
from cascade_operator.control.domain.policies.archiving import ArchiveKind
from cascade_operator.control.domain.run_start import history_entry

_ENDS: Final = (ConditionType.COMPLETE, ConditionType.FAILED)


class EndReason(StrEnum):
    """How a run ended."""

    COMPLETE = "Complete"
    PREPARE_FAILED = "PrepareFailed"
    GROUPS_FAILED = "GroupsFailed"
    ARCHIVE_FAILED = "ArchiveFailed"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended.

    Attributes:
        complete: Whether the run did what it was to do.
        reason: The condition's reason.
        message: The condition's message.
    """

    complete: bool
    reason: str
    message: str


def standing_ending(draft: Draft) -> Ending | None:
    """How a run that is over ended, by the conditions written then.

    A later change of ``maxFailedGroups`` thus turns no failure into a success.
    """
    if draft.run.completion_time is None:
        return None
    for condition in draft.status.conditions:
        if condition.status == "True" and condition.type in _ENDS:
            complete = condition.type is ConditionType.COMPLETE
            return Ending(complete, condition.reason, condition.message)
    return None


def ending_of(draft: Draft, max_failed_groups: int) -> Ending | None:
    """Decides from stages and groups how a run ends; None while it goes on."""
    if draft.prepare.phase is GroupPhase.FAILED:
        return Ending(False, EndReason.PREPARE_FAILED, draft.prepare.message)
    if not draft.all_terminal:
        return None
    archive = draft.archive
    final = archive.kind == ArchiveKind.FINAL
    if final and archive.phase is GroupPhase.FAILED:
        return Ending(False, EndReason.ARCHIVE_FAILED, archive.message)
    succeeded = [g.name for g in draft.groups if g.phase is GroupPhase.SUCCEEDED]
    failed = [g for g in draft.groups if g.phase is GroupPhase.FAILED]
    archived = final and archive.phase is GroupPhase.SUCCEEDED
    if succeeded and not archived:
        return None
    if not succeeded and archive.phase is GroupPhase.RUNNING:
        return None
    names = ", ".join(f"{g.name} ({g.reason})" if g.reason else g.name for g in failed)
    message = f"{len(succeeded)} of {len(draft.groups)} groups trained and archived"
    if failed:
        message += f"; failed: {names}"
    within = len(failed) <= max_failed_groups and bool(succeeded)
    reason = EndReason.COMPLETE if within else EndReason.GROUPS_FAILED
    return Ending(within, reason, message)


def finish_run(draft: Draft, situation: Situation) -> Draft:
    """Writes a run's end into status once it has come."""
    if draft.run.completion_time is not None:
        return draft
    ending = ending_of(draft, situation.spec.max_failed_groups)
    if ending is None:
        return draft
    for group in draft.groups:
        # Only a failed prepare leaves groups open: their Jobs have nothing to end with.
        if not is_terminal(group):
            draft = draft.put_group(
                group.name,
                phase=GroupPhase.FAILED,
                retry_time=None,
                reason=str(ending.reason),
            )
    draft = _stop_archive(draft, ending)
    phase = Phase.COMPLETE if ending.complete else Phase.FAILED
    progress = draft.status.progress
    if ending.complete and progress is not None:
        progress = progress.model_copy(update={"percent": 100, "estimated_remaining_seconds": None})
    entry = history_entry(draft.status, phase, str(ending.reason), situation.now)
    # One that stands there already was ended before, and its end was taken out of status.
    earlier = [one for one in draft.status.history if one.number != entry.number]
    history = [entry, *earlier][: situation.spec.run_history_limit]
    draft = draft.put(progress=progress, history=history)
    draft = draft.put_run(completion_time=situation.now, suspend_time=None, held_time=None)
    text = bounded(f"run {draft.run.number}: {ending.message}")
    if ending.complete:
        return draft.note("RunComplete", text)
    return draft.warn(str(ending.reason), text)


def _stop_archive(draft: Draft, ending: Ending) -> Draft:
    if draft.archive.phase is not GroupPhase.RUNNING:
        return draft
    return draft.put_archive(phase=GroupPhase.FAILED, reason=str(ending.reason))
