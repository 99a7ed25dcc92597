"""Numbers as a report writes them. Pure."""

from __future__ import annotations

from typing import Final

from cascade_operator.report.model import Interval

MINUS: Final = "\N{MINUS SIGN}"
NONE: Final = "\N{EN DASH}"
"""What stands where a figure is not known."""


def score(value: float | None, digits: int = 4) -> str:
    """A score: ``0.7701``."""
    return NONE if value is None else f"{value:.{digits}f}".replace("-", MINUS)


def signed(value: float | None, digits: int = 4) -> str:
    """A difference with its sign: ``+0.0334``; no sign at zero."""
    if value is None:
        return NONE
    rounded = round(value, digits)
    return score(0.0, digits) if rounded == 0 else f"{rounded:+.{digits}f}".replace("-", MINUS)


def interval(one: Interval | None, *, sign: bool = False) -> str:
    """An interval's ends: ``0.7010 to 0.8321``."""
    if one is None or one.low is None or one.high is None:
        return NONE
    write = signed if sign else score
    return f"{write(one.low)} to {write(one.high)}"


def mean(one: Interval | None) -> str:
    """The mean alone."""
    return score(None if one is None else one.value)


def gain(one: Interval | None) -> str:
    """The mean of a difference, with its sign."""
    return signed(None if one is None else one.value)


def thousands(count: float | None) -> str:
    """A count with separators: ``12,345``."""
    return NONE if count is None else f"{count:,.0f}"


def share(part: float, whole: float) -> str:
    """A share in percent: ``78 %``; nothing of nothing is not known."""
    return f"{100 * part / whole:.0f}\N{NO-BREAK SPACE}%" if whole else NONE


def off_by(estimated: float, actual: float | None) -> str:
    """How far an estimate was off: ``+12 %`` where it came to more."""
    if actual is None:
        return NONE
    if not estimated:
        return "as estimated" if not actual else "more than none"
    return f"{100 * (actual - estimated) / estimated:+.0f}\N{NO-BREAK SPACE}%".replace("-", MINUS)


def many(count: int, one: str, more: str = "") -> str:
    """A count and its noun: ``1 record``, ``3 records``."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"
