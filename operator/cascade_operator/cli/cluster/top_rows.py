"""All sessions as one table: the most active first. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.text import Text

from cascade_operator.api.errors import SpecError
from cascade_operator.api.quantity import parse_quantity
from cascade_operator.api.status import (
    GroupPhase,
    GroupStatus,
    Phase,
    StageStatus,
    TrainingSessionStatus,
)
from cascade_operator.cli.cluster.session_page import status_of
from cascade_operator.cli.tables import cell, plain_table
from cascade_operator.control.domain.blockage import QUEUED
from cascade_operator.control.kube.fields import mapping, text, time_of
from cascade_operator.monitoring.figures import (
    NONE,
    age_text,
    count_text,
    memory_text,
    percent_text,
    seconds_text,
)

UNREADABLE: Final = "(unreadable)"
_ORDER: Final = (
    *(Phase.TRAINING, Phase.ARCHIVING, Phase.PREPARING, Phase.SUSPENDED, Phase.PENDING),
    *(Phase.FAILED, Phase.COMPLETE),
)
_RANK: Final = {str(phase): place for place, phase in enumerate(_ORDER)}
_STYLE: Final = {
    "Training": "cyan",
    "Archiving": "cyan",
    "Preparing": "cyan",
    "Failed": "red",
    "Complete": "green",
    "Suspended": "yellow",
}
_RIGHT: Final = ("groups", "run", "fail", "%", "left", "calls", "tokens", "hits", "memory", "age")
_NARROW: Final = 110
_LEFT_OUT: Final = ("run", "fail", "tokens", "hits")


@dataclass(frozen=True, slots=True)
class TopRow:
    """One session.

    Attributes:
        namespace: Where it is.
        name: Its name.
        phase: Of its status; ``Pending`` before the first.
        reason: Of its Ready condition.
        done: Groups that succeeded.
        running: Groups at work.
        failed: Groups that failed.
        total: Groups in all.
        percent: Of the run's work; None without a run.
        remaining: Seconds left, roughly.
        calls: Model calls of the run that a server answered.
        tokens: Of those.
        hits: Calls answered from the shared cache.
        memory: Sum of the limits of what is at work, in bytes.
        budget: ``spec.memory.budget`` in bytes; None without one.
        changed: When a condition last changed; what is sorted by, within a phase.
        created: When the session was.
    """

    namespace: str
    name: str
    phase: str = "Pending"
    reason: str = ""
    done: int = 0
    running: int = 0
    failed: int = 0
    total: int = 0
    percent: int | None = None
    remaining: int | None = None
    calls: int = 0
    tokens: int = 0
    hits: int = 0
    memory: int = 0
    budget: int | None = None
    changed: datetime | None = None
    created: datetime | None = None


def top_rows(raws: Iterable[Mapping[str, Any]]) -> list[TopRow]:
    """Reads sessions into rows, the most active first; one that cannot be read stays a row."""
    return sorted((_row(raw) for raw in raws), key=_activity)


def render_top(
    rows: list[TopRow], now: datetime, *, namespaces: bool, width: int = 120
) -> RenderableType:
    """Renders the table.

    Args:
        rows: In their order.
        now: The time; aware.
        namespaces: Whether a column names each one's namespace.
        width: Columns of the terminal.
    """
    figures = tuple(name for name in _RIGHT if not (width < _NARROW and name in _LEFT_OUT))
    leading = ("namespace",) if namespaces else ()
    table = plain_table(*leading, "session", "phase", *figures, right=figures)
    for row in rows:
        cells = _cells(row, now)
        state = row.phase if row.reason in ("", row.phase) else f"{row.phase} ({row.reason})"
        table.add_row(
            *([cell(row.namespace)] if namespaces else []),
            cell(row.name, "bold"),
            cell(state, _STYLE.get(row.phase, "")),
            *(cells[name] for name in figures),
        )
    return Group(table, Text(), Text(_sum(rows), style="dim"))


def _cells(row: TopRow, now: datetime) -> dict[str, str]:
    budget = "" if row.budget is None else f"/{memory_text(row.budget)}"
    used = memory_text(row.memory) if row.memory else NONE
    return {
        "groups": f"{row.done}/{row.total}" if row.total else NONE,
        "run": str(row.running) if row.running else NONE,
        "fail": str(row.failed) if row.failed else NONE,
        "%": NONE if row.percent is None else str(row.percent),
        "left": seconds_text(row.remaining),
        "calls": count_text(row.calls),
        "tokens": count_text(row.tokens),
        "hits": percent_text(row.hits, row.calls + row.hits),
        "memory": f"{used}{budget}",
        "age": age_text(None if row.created is None else (now - row.created).total_seconds()),
    }


def _sum(rows: list[TopRow]) -> str:
    at_work = [row for row in rows if row.phase in ("Preparing", "Training", "Archiving")]
    return (
        f"{len(rows)} session{'' if len(rows) == 1 else 's'}, {len(at_work)} at work, "
        f"{sum(row.running for row in rows)} groups in training, "
        f"{memory_text(sum(row.memory for row in rows))} of memory limits"
    )


def _activity(row: TopRow) -> tuple[int, float, str, str]:
    since = row.changed.timestamp() if row.changed is not None else 0.0
    return _RANK.get(row.phase, len(_RANK)), -since, row.namespace, row.name


def _row(raw: Mapping[str, Any]) -> TopRow:
    metadata = mapping(raw.get("metadata"))
    namespace, name = text(metadata.get("namespace")), text(metadata.get("name"))
    created = time_of(metadata.get("creationTimestamp"))
    try:
        status = status_of(raw)
    except SpecError:
        return TopRow(namespace, name, phase=UNREADABLE, created=created)
    ready = next((c for c in status.conditions if c.type == "Ready"), None)
    progress = status.progress
    return TopRow(
        namespace=namespace,
        name=name,
        phase=str(status.phase or Phase.PENDING),
        reason=ready.reason if ready else "",
        done=status.groups_succeeded,
        running=sum(_works(group, status) for group in status.groups),
        failed=status.groups_failed,
        total=status.groups_total,
        percent=None if progress is None or status.run is None else progress.percent,
        remaining=None if progress is None else progress.estimated_remaining_seconds,
        calls=0 if progress is None else progress.model_calls,
        tokens=0 if progress is None else progress.tokens,
        hits=0 if progress is None else progress.cache_hits,
        memory=_memory(status),
        budget=_bytes(mapping(mapping(raw.get("spec")).get("memory")).get("budget")),
        changed=max((c.last_transition_time for c in status.conditions), default=None),
        created=created,
    )


def _works(part: StageStatus | GroupStatus, status: TrainingSessionStatus) -> bool:
    """Whether a part's Job may run.

    Parts of a suspended or ended run keep their phase without a Job, and one that a queue holds
    takes no memory yet.
    """
    under_way = status.phase in (Phase.PREPARING, Phase.TRAINING, Phase.ARCHIVING)
    return under_way and part.phase is GroupPhase.RUNNING and part.reason != QUEUED


def _memory(status: TrainingSessionStatus) -> int:
    stages = () if status.run is None else (status.run.prepare, status.run.archive)
    at_work = [part for part in (*stages, *status.groups) if _works(part, status)]
    return sum(_bytes(part.memory_limit) or 0 for part in at_work)


def _bytes(quantity: Any) -> int | None:
    try:
        return parse_quantity(text(quantity)) if quantity else None
    except ValueError:
        return None
