"""Reads what a run said of itself (18 and 62), whoever wrote it: bounded, wrong parts left out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError

from cascade_operator.api.groups import parse_key
from cascade_operator.api.records import CallFigures
from cascade_operator.archive.documents import parse_object
from cascade_operator.archive.errors import MalformedError
from cascade_operator.report.model import (
    AttemptView,
    RecordsView,
    RejectedRow,
    Span,
    TraceMetric,
)

MAX_ATTEMPTS: Final = 500
MAX_POINTS: Final = 400
MAX_SPANS: Final = 400
MAX_ROWS: Final = 300
_TEXT: Final = 1000
_MOST_SECONDS: Final = 10.0 * 365 * 86400
_LETTERS: Final = "ABCDEF"
_JOBS: Final = ("prepare", "archive")
"""Jobs that are no group's; any other name is nobody's."""


def read_object(data: bytes | None) -> Mapping[str, Any]:
    """Returns a document's object; an empty one where there is none or it cannot be read."""
    if data is None:
        return {}
    try:
        return parse_object(data)
    except MalformedError:
        return {}


def read_records(document: Mapping[str, Any], split: Mapping[str, int]) -> RecordsView:
    """Reads ``18_records.json``.

    Args:
        document: The document; empty where there is none.
        split: How many records each split has, where the archive itself says so.
    """
    rejected, notes = _dict(document.get("rejected")), _dict(document.get("notes"))
    counts = split or {name: _count(n) for name, n in _dict(document.get("split")).items()}
    rows = [
        RejectedRow(_count(row.get("row")), _text(row.get("recordId")), _text(row.get("reason")))
        for row in _dicts(rejected.get("rows"), MAX_ROWS)
    ]
    shown = tuple(_text(note) for note in _list(notes.get("shown"), MAX_ROWS))
    return RecordsView(
        training=counts.get("training", 0),
        validation=counts.get("validation", 0),
        held_out=counts.get("heldOut", 0),
        known=bool(document),
        duplicates=_count(document.get("duplicates")),
        rejected=max(_count(rejected.get("total")), len(rows)),
        rows=tuple(rows),
        notes=shown,
        notes_total=max(_count(notes.get("total")), len(shown)),
        metrics=tuple(_metrics(_dict(document.get("traceMetrics")))),
        calls=_calls(document.get("calls")),
    )


def read_attempts(document: Mapping[str, Any]) -> tuple[AttemptView, ...]:
    """Reads ``62_timeline.json``; starts are counted from the earliest attempt."""
    found = []
    for entry in _dicts(document.get("jobs"), MAX_ATTEMPTS):
        job, start = _text(entry.get("job")), _number(entry.get("start"))
        if start is None or (job not in _JOBS and letters_of(job) == job):
            continue
        found.append((start, job, entry))
    found.sort(key=lambda one: (one[0], one[1]))
    first = found[0][0] if found else 0.0
    return tuple(
        _attempt(job, start - first, entry)
        for start, job, entry in found
        if start - first < _MOST_SECONDS
    )


def letters_of(key: str) -> str:
    """Returns a group's letters: ``00_02`` is ``AC``; another Job's name stays what it is."""
    try:
        return "".join(_LETTERS[position] for position in parse_key(key))
    except (ValueError, IndexError):
        return key


def _attempt(job: str, start: float, entry: Mapping[str, Any]) -> AttemptView:
    memory = _dict(entry.get("memory"))
    seconds = _seconds(entry.get("seconds"))
    spans = []
    for span in _list(entry.get("stages"), MAX_SPANS):
        if isinstance(span, list) and len(span) == 3 and type(span[0]) is int:
            begin, end = min(seconds, _seconds(span[1])), min(seconds, _seconds(span[2]))
            if 0 <= span[0] <= 99 and begin < end:
                spans.append(Span(span[0], begin, end))
    return AttemptView(
        job=job,
        label=letters_of(job),
        number=_count(entry.get("attempt")),
        start=start,
        seconds=seconds,
        outcome=_text(entry.get("outcome"))[:64],
        limit=_count(entry.get("memoryLimit")),
        step=max(0.001, _seconds(memory.get("step")) or 1.0),
        memory=tuple(_count(value) for value in _list(memory.get("bytes"), MAX_POINTS)),
        spans=tuple(spans),
    )


def _metrics(nodes: Mapping[str, Any]) -> Iterator[TraceMetric]:
    for node, figures in list(nodes.items())[:6]:
        for name, value in list(_dict(figures).items())[:50]:
            own = _dict(value)
            mean = _number(own.get("mean"))
            if mean is not None:
                yield TraceMetric(_text(node), _text(name), mean, _count(own.get("records")))


def _calls(value: Any) -> CallFigures | None:
    try:
        return None if value is None else CallFigures.model_validate(value)
    except ValidationError:
        return None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any, most: int) -> list[Any]:
    return value[:most] if isinstance(value, list) else []


def _dicts(value: Any, most: int) -> list[dict[str, Any]]:
    return [item for item in _list(value, most) if isinstance(item, dict)]


def _text(value: Any) -> str:
    return value[:_TEXT] if isinstance(value, str) else ""


def _count(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 2**63 else 0


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def _seconds(value: Any) -> float:
    return min(_MOST_SECONDS, max(0.0, _number(value) or 0.0))
