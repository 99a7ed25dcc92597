"""What call figures say together: the one place where a report adds them up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from cascade_operator.api.records import CallFigures
from cascade_operator.report.model import ReportData

_MOST: Final = 10**15
"""The largest count that a record may hold; figures from elsewhere may add up to more."""


def asked(calls: CallFigures) -> int:
    """Calls that programs asked for, whoever answered."""
    return calls.model_calls + saved(calls)


def saved(calls: CallFigures) -> int:
    """Calls that no server had to answer."""
    return calls.saved_calls


def tokens(calls: CallFigures) -> int:
    """Tokens sent and received."""
    return calls.input_tokens + calls.output_tokens


def total_calls(data: ReportData) -> CallFigures | None:
    """Returns what the model calls of prepare and all groups came to; None while nothing is known.

    Groups that are under way are not in it.
    """
    known = [group.calls for group in data.groups if group.calls is not None]
    if data.records.calls is not None:
        known.append(data.records.calls)
    return added(known) if known else None


def added(figures: Iterable[CallFigures]) -> CallFigures:
    """Returns the sum of call figures, count by count."""
    sums: dict[str, int] = {}
    for one in figures:
        for name, count in one.model_dump().items():
            sums[name] = min(_MOST, sums.get(name, 0) + count)
    return CallFigures.model_validate(sums)
