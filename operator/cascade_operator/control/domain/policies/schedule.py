"""Schedule (82): when the next run is due, and what a fire meets that finds one under way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cascade_operator.api.cron import last_time, next_time
from cascade_operator.api.session import ConcurrencyPolicy

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A session's schedule.

    Attributes:
        cron: A valid expression; empty for none.
        zone: A valid time zone.
        policy: What a fire does that finds a run under way.
    """

    cron: str
    zone: str
    policy: ConcurrencyPolicy


@dataclass(frozen=True, slots=True)
class Fire:
    """What a look at the schedule finds.

    Attributes:
        due: The fire that starts a run now; of several that were missed, the newest.
        skipped: The fire that found a run under way and is dropped.
        next_time: The next one. In the past where one waits for the run to end (``Queue``).
    """

    due: datetime | None = None
    skipped: datetime | None = None
    next_time: datetime | None = None


def look(
    schedule: Schedule,
    known: datetime | None,
    now: datetime,
    *,
    under_way: bool,
    suspended: bool,
) -> Fire:
    """Looks whether the schedule has fired since the last look.

    A session that is suspended has no next fire: what falls into a suspension is never made up for.

    Args:
        schedule: The schedule.
        known: The next fire as status knows it; another schedule's is forgotten.
        now: The time.
        under_way: Whether a run has not ended yet.
        suspended: Whether the session is suspended.
    """
    if not schedule.cron or suspended:
        return Fire()
    if known is None or next_time(schedule.cron, schedule.zone, known - _SECOND) != known:
        return Fire(next_time=next_time(schedule.cron, schedule.zone, now))
    if known > now or (under_way and schedule.policy is ConcurrencyPolicy.QUEUE):
        return Fire(next_time=known)
    newest = last_time(schedule.cron, schedule.zone, now) or known
    following = next_time(schedule.cron, schedule.zone, now)
    if under_way and schedule.policy is ConcurrencyPolicy.FORBID:
        return Fire(skipped=newest, next_time=following)
    return Fire(due=newest, next_time=following)
