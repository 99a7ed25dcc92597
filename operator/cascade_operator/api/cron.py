"""Cron expressions of five fields, or a nickname such as ``@daily``, in a time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

_NICKNAMES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_RANGES: Final = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31",
    "month": "1 to 12 or JAN to DEC",
    "day-of-week": "0 to 7 or SUN to SAT",
}
_SOME_TIME: Final = datetime(2024, 1, 1, tzinfo=UTC)


def check_cron(text: str) -> str:
    """Returns the expression with its nickname spelled out.

    Raises:
        ValueError: It is no cron expression, or one that never fires; the message names the field.
    """
    spelled = _NICKNAMES.get(text.strip().lower(), text)
    fields = spelled.split()
    if len(fields) != len(_RANGES):
        raise ValueError(
            f"a cron expression has five fields (minute hour day month weekday), not {len(fields)}"
        )
    try:
        next(CronSim(spelled, _SOME_TIME))
    except StopIteration:
        raise ValueError("the cron expression never fires: no such day exists") from None
    except (CronSimError, AssertionError) as error:
        raise ValueError(_what_is_wrong(str(error).removeprefix("Bad "))) from None
    return spelled


def _what_is_wrong(field: str) -> str:
    if field not in _RANGES:
        return "the cron expression cannot be read"
    return f"the {field} field of the cron expression is wrong: it goes from {_RANGES[field]}"


def check_zone(name: str) -> ZoneInfo:
    """Returns a time zone by its IANA name.

    Raises:
        ValueError: There is no such zone.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone of the IANA database") from None


def next_time(cron: str, zone: str, after: datetime) -> datetime | None:
    """Returns when a schedule fires next, strictly after a time; None if it never does.

    Where clocks are put forward, a time that does not exist fires when they are; where they are put
    back, one that exists twice fires once, as in Debian's cron.

    Args:
        cron: A valid expression.
        zone: A valid time zone.
        after: A time with a zone.

    Returns:
        UTC, in whole seconds.

    Raises:
        ValueError: The expression or the zone is invalid.
    """
    return _first(CronSim(check_cron(cron), after.astimezone(check_zone(zone))))


def last_time(cron: str, zone: str, until: datetime) -> datetime | None:
    """Returns when a schedule fired last, at a time or before; None if it never did.

    Args, Raises: As ``next_time``.
    """
    start = until.astimezone(check_zone(zone)) + timedelta(seconds=1)
    return _first(CronSim(check_cron(cron), start, reverse=True))


def _first(times: CronSim) -> datetime | None:
    found = next(times, None)
    return None if found is None else found.astimezone(UTC)
