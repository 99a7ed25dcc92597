"""Time in which a queue holds all of a run's Jobs (82): it does not count as duration."""

from __future__ import annotations

import math

from cascade_operator.control.domain.blockage import QUEUED, is_queued
from cascade_operator.control.domain.draft import Draft, Situation
from cascade_operator.control.domain.policies.suspension import paused_seconds


def hold_or_release(draft: Draft, situation: Situation) -> Draft:
    """Writes down since when a queue holds every Job that the run waits for, or for how long.

    One Job that runs, or may, makes it the run's own time again. A suspension ends the holding:
    it deletes the Jobs, and its own time does not count either.
    """
    run = draft.run
    held = run.suspend_time is None and is_queued(draft, situation)
    if held == (run.held_time is not None):
        return draft
    if held:
        text = f"run {run.number}: a queue holds its Jobs; that time does not count"
        return draft.put_run(held_time=situation.now).note(QUEUED, text)
    paused = paused_seconds(run.paused_seconds, run.held_time, situation.now)
    draft = draft.put_run(held_time=None, paused_seconds=math.floor(paused))
    return draft.note("Dequeued", f"run {run.number}: its Jobs may run")
