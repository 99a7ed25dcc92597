"""Suspending and resuming a run (82)."""

from __future__ import annotations

import math

from cascade_operator.api.quantity import parse_duration
from cascade_operator.api.status import GroupPhase, RunStatus
from cascade_operator.control.domain.draft import Draft, Situation
from cascade_operator.control.domain.policies.archiving import ArchiveKind
from cascade_operator.control.domain.policies.duration import seconds_left
from cascade_operator.control.domain.policies.suspension import paused_seconds, suspension_archive
from cascade_operator.control.manifests.labels import STAGE, STAGE_ARCHIVE


def suspend_or_resume(draft: Draft, situation: Situation) -> Draft:
    """Writes down since when a run is suspended, or for how long it was.

    Attempts keep their phase: once resumed, the same ones get their Jobs again and go on from
    their checkpoints.
    """
    run, suspend = draft.run, situation.spec.suspend
    if suspend == (run.suspend_time is not None):
        return draft
    if suspend:
        text = f"run {run.number} is suspended: its Jobs save and leave"
        return draft.put_run(suspend_time=situation.now).note("Suspended", text)
    paused = paused_seconds(run.paused_seconds, run.suspend_time, situation.now)
    draft = draft.put_run(suspend_time=None, paused_seconds=math.floor(paused))
    return draft.note("Resumed", f"run {run.number} goes on")


def owed_archive(draft: Draft, situation: Situation) -> ArchiveKind | None:
    """The archive that the present suspension still owes."""
    run = draft.run
    if run.suspend_time is None:
        return None
    return suspension_archive(
        run.suspend_time,
        prepared=draft.prepare.phase is GroupPhase.SUCCEEDED,
        jobs_at_work=jobs_at_work(situation),
        all_terminal=draft.all_terminal,
        last_start=draft.archive.start_time,
    )


def jobs_at_work(situation: Situation) -> bool:
    """Whether a Job that prepares or trains has not ended yet, whichever run it belongs to."""
    return any(
        not job.state.ended and job.labels.get(STAGE) != STAGE_ARCHIVE
        for job in situation.observed.jobs.values()
    )


def run_seconds_left(run: RunStatus, situation: Situation) -> int:
    """Whole seconds that are left of a run's ``budget.maxDuration``."""
    return seconds_left(
        run.start_time,
        situation.now,
        parse_duration(situation.spec.budget.max_duration),
        paused_seconds(run.paused_seconds, run.suspend_time or run.held_time, situation.now),
    )


def suspension_message(draft: Draft, situation: Situation) -> str:
    """Where a suspension is, for a reader."""
    number = draft.run.number
    if jobs_at_work(situation):
        return f"run {number} is being suspended: its Jobs save and leave"
    if draft.archive.phase is GroupPhase.RUNNING:
        return f"run {number} is suspended; an archive of what it found is being written"
    return f"run {number} is suspended; it goes on once spec.suspend is false"
