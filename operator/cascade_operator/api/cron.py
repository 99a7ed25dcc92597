"""Cron expressions of five fields, as sets of numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_MONTHS: Final = (
    *("JAN", "FEB", "MAR", "APR", "MAY", "JUN"),
    *("JUL", "AUG", "SEP", "OCT", "NOV", "DEC"),
)
_DAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_NICKNAMES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_PART: Final = re.compile(
    r"(?:\*|(?P<first>[0-9]{1,2}|[A-Z]{3})(?:-(?P<last>[0-9]{1,2}|[A-Z]{3}))?)"
    r"(?:/(?P<step>[0-9]{1,2}))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Cron:
    """When a schedule fires: the numbers each field allows.

    Attributes:
        minutes: 0-59.
        hours: 0-23.
        days: Days of the month, 1-31.
        months: 1-12.
        weekdays: 0-6, Sunday is 0.
        any_day: The days-of-month field starts with ``*``: weekdays alone decide.
        any_weekday: The weekday field starts with ``*``: days of the month alone decide. Where
            neither does, a day fires when one of the two fits, as in cron.
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool


def parse_cron(text: str) -> Cron:
    """Parses ``minute hour day-of-month month day-of-week`` or a nickname such as ``@daily``.

    Raises:
        ValueError: It is not a cron expression; the message names the field.
    """
    fields = _NICKNAMES.get(text.strip().lower(), text).split()
    if len(fields) != 5:
        raise ValueError(
            f"a cron expression has five fields (minute hour day month weekday), not {len(fields)}"
        )
    minute, hour, day, month, weekday = fields
    return Cron(
        minutes=_numbers("minute", minute, 0, 59),
        hours=_numbers("hour", hour, 0, 23),
        days=_numbers("day of the month", day, 1, 31),
        months=_numbers("month", month, 1, 12, _MONTHS),
        # 7 is Sunday too.
        weekdays=frozenset(n % 7 for n in _numbers("weekday", weekday, 0, 7, _DAYS)),
        any_day=day.startswith("*"),
        any_weekday=weekday.startswith("*"),
    )


def _numbers(
    field: str, text: str, low: int, high: int, names: tuple[str, ...] | None = None
) -> frozenset[int]:
    found: set[int] = set()
    for part in text.upper().split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f"the {field} field of the cron expression holds {part[:20]!r}")
        step = int(match["step"] or 1)
        first, last = low, high
        if match["first"]:
            first = _number(field, match["first"], low, names)
            # "5/15" means from 5 to the end in steps of 15; "5" alone means 5.
            last = first if match["step"] is None else high
        if match["last"]:
            last = _number(field, match["last"], low, names)
        if step < 1 or not low <= first <= last <= high:
            raise ValueError(
                f"the {field} field of the cron expression holds {part[:20]!r}, "
                f"but it goes from {low} to {high}"
            )
        found.update(range(first, last + 1, step))
    return frozenset(found)


def _number(field: str, text: str, low: int, names: tuple[str, ...] | None) -> int:
    if text.isdigit():
        return int(text)
    if names is None or text not in names:
        raise ValueError(f"the {field} field of the cron expression holds {text!r}")
    return names.index(text) + low
