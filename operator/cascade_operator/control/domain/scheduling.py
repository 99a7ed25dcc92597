"""A session's schedule in its status (82)."""

from __future__ import annotations

from cascade_operator.control.domain.draft import Draft, Situation
from cascade_operator.control.domain.policies.schedule import Schedule, look


def look_at_schedule(draft: Draft, situation: Situation) -> tuple[Draft, bool]:
    """Writes down when the schedule fires next.

    Returns:
        The draft, and whether a run is due. A run that starts now for another reason takes the
        fire's place.
    """
    spec, run = situation.spec, draft.status.run
    fire = look(
        Schedule(spec.schedule, spec.time_zone, spec.concurrency_policy),
        draft.status.next_schedule_time,
        situation.now,
        under_way=run is not None and run.completion_time is None,
        suspended=spec.suspend,
    )
    draft = draft.put(next_schedule_time=fire.next_time)
    if fire.due is not None:
        draft = draft.put(last_schedule_time=fire.due)
    if fire.skipped is not None and run is not None:
        text = f"run {run.number} is under way and concurrencyPolicy is {spec.concurrency_policy}"
        draft = draft.note("ScheduleSkipped", f"the schedule fired, but {text}")
    return draft, fire.due is not None
