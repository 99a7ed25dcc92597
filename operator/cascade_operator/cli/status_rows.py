"""Turns a session's status into what a reader sees of it. Pure.

Needs nothing of the training side, nor of this machine: the commands for a cluster read it, too.
"""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import datetime
from typing import TYPE_CHECKING

from cascade_operator.api.quantity import parse_quantity
from cascade_operator.api.status import GroupPhase, Phase
from cascade_operator.cli.view import (
    ArchiveRow,
    AttributionRow,
    BestRow,
    CallRow,
    GroupRow,
    RunView,
)
from cascade_operator.control.domain.blockage import QUEUED
from cascade_operator.control.domain.policies.diagnosis import BlockReason
from cascade_operator.control.domain.waits import DISRUPTED
from cascade_operator.monitoring.figures import group_text, short_names
from cascade_operator.stages import STAGES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cascade_operator.api.calls import CallFigures
    from cascade_operator.api.records import Progress
    from cascade_operator.api.status import (
        GroupStatus,
        ProgressStatus,
        RunStatus,
        TrainingSessionStatus,
    )

HELD = "Held"
"""Of a group whose Job a queue holds; status has it running, since its attempt has begun."""

_WORKING = {Phase.PREPARING: "prepare", Phase.ARCHIVING: "archive"}
_UNSTARTED = frozenset({DISRUPTED, *map(str, BlockReason)})


def status_view(
    status: TrainingSessionStatus,
    name: str,
    now: datetime,
    progress: Mapping[str, Progress],
) -> RunView:
    """Returns what a reader sees of a status and of live figures, which may be missing.

    Args:
        status: The status.
        name: The session's name.
        now: The time; aware.
        progress: Live figures by group key or stage name.
    """
    names = short_names(list(dict.fromkeys(n for g in status.groups for n in g.nodes)))
    phase = status.phase or Phase.PENDING
    view = RunView(
        name,
        phase=str(phase),
        message=_message(status),
        groups=tuple(
            replace(_group(g, names, progress.get(g.name)), phase=_group_phase(g, phase))
            for g in status.groups
        ),
        calls=_calls(status, progress),
        attribution=tuple(
            AttributionRow(a.node, float(a.value), float(a.low), float(a.high))
            for a in status.attribution or ()
        ),
        archives=tuple(ArchiveRow(a.path, a.bytes, a.group_size) for a in status.archives or ()),
        best=_best(status, names),
    )
    if status.progress is not None:
        view = replace(
            view,
            percent=float(status.progress.percent),
            remaining=status.progress.estimated_remaining_seconds,
        )
    if status.run is not None:
        view = replace(
            view,
            run=status.run.number,
            session_id=status.run.session_id,
            elapsed=_elapsed(status.run, now),
            warm_started_from=status.run.warm_started_from or "",
            prepare_calls=_call_row(status.run.prepare.calls, progress.get("prepare")),
        )
    working = progress.get(_WORKING.get(phase, ""))
    return view if working is None else replace(view, step=_step(working))


def _elapsed(run: RunStatus, now: datetime) -> float:
    return max(0.0, ((run.completion_time or now) - run.start_time).total_seconds())


def _message(status: TrainingSessionStatus) -> str:
    """What the condition says that matters most to a reader."""
    by_type = {str(c.type): c for c in status.conditions}
    for name in ("Stalled", "Failed", "Suspended", "Complete", "Reconciling", "Ready"):
        condition = by_type.get(name)
        if condition is not None and condition.status == "True" and condition.message:
            return condition.message
    return ""


def _group(group: GroupStatus, names: Mapping[str, str], live: Progress | None) -> GroupRow:
    row = GroupRow(
        key=group.name,
        name=group_text(group.nodes, dict(names)),
        phase=str(group.phase),
        reason=group.reason or "",
        message=group.message or "",
        attempt=group.attempt,
        trials=group.trials or None,
        baseline=_number(group.baseline),
        best=_number(group.score),
        held_out=_number(group.held_out),
        peak=_bytes(group.peak_memory),
        limit=_bytes(group.memory_limit),
        calls=_call_row(group.calls, live),
    )
    if live is None or row.done:
        return row
    # Status follows a poll later, so the live figures win where they are there.
    return replace(
        row,
        trials=max(live.done, group.trials or 0),
        baseline=row.baseline if live.baseline is None else live.baseline,
        best=row.best if live.score is None else live.score,
        peak=live.memory or row.peak,
        limit=live.memory_limit or row.limit,
    )


def _group_phase(group: GroupStatus, session: Phase) -> str:
    """What its Job does: one at work by its status may wait for a pod, or have no Job."""
    if group.phase is not GroupPhase.RUNNING:
        return str(group.phase)
    if group.reason == QUEUED:
        return HELD
    idle = session is Phase.SUSPENDED or group.reason in _UNSTARTED
    return str(GroupPhase.PENDING if idle else group.phase)


def _calls(status: TrainingSessionStatus, progress: Mapping[str, Progress]) -> CallRow:
    """The run's calls: live figures, or what status knows where those are gone."""
    live = CallRow()
    for record in progress.values():
        live = _larger(live, record.calls, add=True)
    known = status.progress
    return live if known is None else _larger(live, known, add=False)


def _call_row(calls: CallFigures | None, live: Progress | None = None) -> CallRow:
    row = CallRow() if calls is None else _larger(CallRow(), calls, add=True)
    return row if live is None else _larger(row, live.calls, add=False)


def _larger(row: CallRow, other: CallFigures | ProgressStatus, *, add: bool) -> CallRow:
    combine = int.__add__ if add else max
    names = (field.name for field in fields(CallRow))
    return CallRow(**{name: combine(getattr(row, name), getattr(other, name)) for name in names})


def _best(status: TrainingSessionStatus, names: Mapping[str, str]) -> BestRow | None:
    best = status.best
    if best is None:
        return None
    nodes = next((g.nodes for g in status.groups if g.name == best.group), [best.group])
    return BestRow(
        best.group,
        group_text(nodes, dict(names)),
        _number(best.score),
        _number(best.held_out),
        _number(best.baseline_held_out),
    )


def _step(progress: Progress) -> str:
    stage = STAGES.get(progress.stage)
    parts = [stage.label if stage else f"{progress.stage:02d}"]
    if progress.total:
        parts.append(f"{progress.done}/{progress.total}")
    return " ".join([*parts, *([f"({progress.note})"] if progress.note else [])])


def _number(score: str | float | None) -> float | None:
    return None if score in (None, "") else float(score)  # type: ignore[arg-type]


def _bytes(quantity: str | None) -> int | None:
    return parse_quantity(quantity) if quantity else None
