"""Model calls of each part of a run, on their way into status (61)."""

from __future__ import annotations

from collections.abc import Iterator

from cascade_operator.api.calls import CallFigures
from cascade_operator.api.records import GroupResult, PrepareResult
from cascade_operator.control.domain.draft import Draft, Part, Situation

_PREPARE = "prepare"


def with_calls(draft: Draft, situation: Situation) -> Draft:
    """Fills in what prepare and each group called so far.

    A Job's figures hold those of its earlier attempts. What was once counted stays counted: a
    record in Redis expires, and a Redis that was lost begins anew.
    """
    found = _calls_of(draft.prepare, _PREPARE, situation)
    if found != draft.prepare.calls:
        draft = draft.put_prepare(calls=found)
    for group in draft.groups:
        found = _calls_of(group, group.name, situation)
        if found != group.calls:
            draft = draft.put_group(group.name, calls=found)
    return draft


def total_calls(draft: Draft) -> CallFigures:
    """The run's calls: the sum of what its parts called."""
    total = CallFigures()
    parts: tuple[Part, ...] = (draft.prepare, *draft.groups)
    for part in parts:
        total = total if part.calls is None else total.plus(part.calls)
    return total


def _calls_of(part: Part, name: str, situation: Situation) -> CallFigures | None:
    best = part.calls
    for calls in _told(part, name, situation):
        best = calls if best is None else best.at_least(calls)
    return best


def _told(part: Part, name: str, situation: Situation) -> Iterator[CallFigures]:
    live = situation.observed.progress.get(name)
    if live is not None:
        yield live.calls
    job = situation.observed.jobs.get(part.job_name)
    message = None if job is None else job.message
    if isinstance(message, PrepareResult | GroupResult):
        yield message.calls
