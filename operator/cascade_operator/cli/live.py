"""The live view of a run: one renderable from one look at it. Pure."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cascade_operator.cli.console import clean
from cascade_operator.cli.tables import cell, plain_table
from cascade_operator.cli.view import GroupRow, RunView
from cascade_operator.monitoring.figures import (
    NONE,
    count_text,
    delta_text,
    memory_text,
    percent_text,
    score_text,
    seconds_text,
)

PHASES = ("Preparing", "Training", "Archiving")
_FIGURES = ("trials", "baseline", "best", "change", "held-out", "memory")
_NARROW_FIGURES = ("trials", "best", "change", "held-out")
_NARROWEST_FIGURES = ("trials", "best", "held-out")
_REASON = ("why",)
_NARROW, _NARROWEST = 100, 72
"""Columns of a terminal below which only the figures that matter most are shown."""
_FRAME_LINES = 9
"""Lines around the table's rows: header, stage, column heads, figures, hint."""
_RANK = {"Running": 0, "Failed": 1, "Succeeded": 2, "Held": 3, "Pending": 3}
_STYLE = {
    "Running": "cyan",
    "Failed": "red",
    "Succeeded": "green",
    "Held": "yellow",
    "Pending": "dim",
}


def render_view(
    view: RunView,
    *,
    width: int = 120,
    height: int = 50,
    stopping: bool = False,
) -> RenderableType:
    """Renders one look at a session.

    Args:
        view: The look.
        width: Columns of the terminal.
        height: Lines of the terminal; groups that do not fit are counted in one line.
        stopping: Whether a stop was asked for.
    """
    parts: list[RenderableType] = [header(view), stage_line(view)]
    if view.groups:
        limit = max(3, height - _FRAME_LINES - len(view.notes[-2:]))
        parts += [Text(), *group_rows(view, limit, width)]
    parts += [Text(), figures_line(view)]
    parts += [_one_line(note, "yellow") for note in view.notes[-2:]]
    parts.append(
        Text("stopping: checkpoints are being saved; Ctrl-C again ends at once", style="yellow")
        if stopping
        else Text("Ctrl-C saves checkpoints and stops; the same command resumes", style="dim")
    )
    return Group(*parts)


def _figures_for(width: int) -> tuple[str, ...]:
    if width < _NARROWEST:
        return _NARROWEST_FIGURES
    return _NARROW_FIGURES if width < _NARROW else _FIGURES


def header(view: RunView) -> Text:
    """Which session, and which run of it."""
    line = Text(clean(view.session), style="bold")
    if view.run:
        line.append(f"  run {view.run}  {clean(view.session_id)}", style="not bold")
    start = f"warm from {view.warm_started_from}" if view.warm_started_from else ""
    line.append(f"  {clean(start)}" if start else "", style="not bold dim")
    return line


def stage_line(view: RunView) -> Text:
    """How far the run is, stage by stage."""
    line = Text()
    for phase in PHASES:
        here = phase == view.phase
        line.append(phase.lower(), style="bold cyan" if here else "dim")
        line.append(" > " if phase != PHASES[-1] else "", style="dim")
    if view.phase not in PHASES:
        line.append(f"  [{view.phase.lower()}]", style="bold")
    if view.percent is not None:
        line.append(f"  {view.percent:.0f} %", style="bold")
    if view.step:
        line.append(f"  {clean(view.step)}")
    return line


def _one_line(text: str, style: str) -> Text:
    """A wrapped line would push the view's first lines out of the terminal."""
    return Text(clean(text).replace("\n", " "), style=style, no_wrap=True, overflow="ellipsis")


def group_rows(
    view: RunView, limit: int, width: int, *, reasons: bool = False
) -> list[RenderableType]:
    """The table of groups.

    Args:
        view: The look.
        limit: Rows at most; groups beyond are counted in one line.
        width: Columns of the terminal.
        reasons: Whether a last column says why each group is where it is.
    """
    figures = _figures_for(width)
    table = plain_table("group", "state", *figures, *_REASON[: int(reasons)], right=figures)
    for column in table.columns[: 2 + len(figures)]:
        column.no_wrap, column.overflow = True, "ellipsis"
    if width < _NARROWEST:  # names give way, figures do not
        table.columns[0].max_width = max(12, width - 9 * len(figures) - 14)
    best = max((g.best for g in view.groups if g.best is not None), default=None)
    shown = rows_that_fit(view.groups, limit)
    for group in shown:
        is_best = best is not None and group.best == best
        _add_group(table, group, figures, is_best=is_best, reasons=reasons)
    if len(shown) == len(view.groups):
        return [table]
    hidden = [group for group in view.groups if group not in shown]
    done = sum(group.done for group in hidden)
    note = f"and {len(hidden)} more groups: {done} finished, {len(hidden) - done} not yet"
    return [table, Text(note, style="dim")]


def rows_that_fit(groups: tuple[GroupRow, ...], limit: int) -> tuple[GroupRow, ...]:
    """Chooses the groups a reader wants to see, in cascade order.

    Running ones first, then failed, finished and waiting ones.
    """
    if len(groups) <= limit:
        return groups
    ranked = sorted(range(len(groups)), key=lambda i: (_RANK.get(groups[i].phase, 3), i))
    return tuple(groups[i] for i in sorted(ranked[: limit - 1]))


def _add_group(
    table: Table, group: GroupRow, figures: tuple[str, ...], *, is_best: bool, reasons: bool
) -> None:
    state = group.reason if group.done and group.reason else group.phase
    if group.attempt > 1:
        state += f" (attempt {group.attempt})"
    limit = f"/{memory_text(group.limit)}" if group.limit else ""
    cells = {
        "trials": cell(NONE if group.trials is None else str(group.trials)),
        "baseline": cell(score_text(group.baseline)),
        "best": cell(score_text(group.best), "bold green" if is_best else ""),
        "change": cell(delta_text(group.best, group.baseline)),
        "held-out": cell(score_text(group.held_out)),
        "memory": cell(f"{memory_text(group.peak)}{limit}"),
    }
    table.add_row(
        cell(group.name, "bold" if is_best else ""),
        cell(state, _STYLE.get(group.phase, "")),
        *(cells[name] for name in figures),
        *([cell(": ".join(part for part in _why(group) if part))] if reasons else []),
    )


def _why(group: GroupRow) -> tuple[str, str]:
    """The state names a finished group's reason already."""
    return "" if group.done else group.reason, group.message


def figures_line(view: RunView) -> Text:
    """Groups, time, calls and tokens in one line."""
    calls, saved = view.calls.model_calls, view.calls.saved_calls
    parts = [
        f"{view.finished_groups} of {len(view.groups)} groups" if view.groups else "",
        f"{seconds_text(view.elapsed)} elapsed",
        f"about {seconds_text(view.remaining)} left" if view.remaining is not None else "",
        f"{count_text(calls)} model calls",
        f"{count_text(saved)} saved ({percent_text(saved, calls + saved)})",
        f"{count_text(view.calls.tokens)} tokens",
    ]
    return Text("  ".join(part for part in parts if part), no_wrap=True, overflow="ellipsis")
