"""One session on a cluster, rendered for a person. Pure."""

from __future__ import annotations

from datetime import datetime

from rich.console import Group, RenderableType
from rich.text import Text

from cascade_operator.api.status import HistoryEntry
from cascade_operator.cli.cluster.session_page import EventRow, SessionPage
from cascade_operator.cli.console import clean
from cascade_operator.cli.live import figures_line, group_rows, header, stage_line
from cascade_operator.cli.reasons import explained
from cascade_operator.cli.summary import archive_lines, attribution_lines, best_lines
from cascade_operator.cli.tables import cell, plain_table
from cascade_operator.monitoring.figures import age_text, score_text, seconds_text

HISTORY_SHOWN = 5
_BAR_COLUMNS = 48
_STYLE = {"Complete": "green", "Failed": "red", "Suspended": "yellow"}


def render_page(page: SessionPage, now: datetime, *, width: int = 120) -> RenderableType:
    """Renders all that is known of a session.

    Args:
        page: The session.
        now: The time; aware.
        width: Columns of the terminal.
    """
    view = page.view
    parts = _top(page)
    if view.groups:
        parts += [Text(), *group_rows(view, len(view.groups), width, reasons=True)]
        legend = explained(group.reason for group in view.groups)
        parts += [Text(legend, style="dim")] if legend else []
        parts += [Text(), figures_line(view)]
    if view.best is not None:
        parts += [Text(), *best_lines(view.best)]
    if view.attribution:
        parts += [Text(), *attribution_lines(view)]
    if view.archives:
        parts += [Text(), *archive_lines(view)]
    if page.history:
        parts += [Text(), Text("finished runs", style="bold"), _history(page.history)]
    if page.schedule:
        parts += [Text(), _schedule(page, now)]
    if page.events:
        parts += [Text(), Text("events", style="bold"), *_events(page.events, now)]
    return Group(*parts)


def render_watched(page: SessionPage, *, width: int = 120, height: int = 50) -> RenderableType:
    """Renders what changes while a session runs, in as many lines as the terminal has.

    Args:
        page: The session.
        width: Columns of the terminal.
        height: Lines of the terminal.
    """
    view = page.view
    parts = _top(page)
    if view.groups:
        limit = max(3, height - len(parts) - 6)
        parts += [Text(), *group_rows(view, limit, width), Text(), figures_line(view)]
    parts.append(Text("Ctrl-C ends this view; the session goes on", style="dim"))
    return Group(*parts)


def _top(page: SessionPage) -> list[RenderableType]:
    view = page.view
    title = header(view)
    title.append(clean(f"  namespace {page.namespace}"), style="not bold dim")
    parts: list[RenderableType] = [title, stage_line(view)]
    if view.percent is not None and view.run:
        parts.append(_bar(view.percent, view.phase))
    if page.deleting:
        parts.append(Text("it is being deleted", style="yellow"))
    if page.reason:
        style = "yellow" if page.trouble else _STYLE.get(view.phase, "cyan")
        line = Text(clean(page.reason), style=f"bold {style}")
        line.append(clean(f": {view.message}") if view.message else "", style="not bold default")
        parts.append(line)
    parts += [Text(clean(f"note: {note}"), style="yellow") for note in view.notes]
    return parts


def _bar(percent: float, phase: str) -> Text:
    """Rich's own bar draws nothing of what is left where there is no colour."""
    done = round(min(max(percent, 0.0), 100.0) / 100 * _BAR_COLUMNS)
    bar = Text("━" * done, style=_STYLE.get(phase, "cyan"))
    return bar.append("─" * (_BAR_COLUMNS - done), style="dim")


def _history(entries: tuple[HistoryEntry, ...]) -> RenderableType:
    table = plain_table(
        "run", "id", "started by", "ended", "took", "best", "held-out", right=("run",)
    )
    for entry in entries[:HISTORY_SHOWN]:
        took = None
        if entry.start_time is not None and entry.completion_time is not None:
            took = (entry.completion_time - entry.start_time).total_seconds()
        best = entry.best
        table.add_row(
            str(entry.number),
            cell(entry.session_id),
            cell(entry.trigger),
            cell(entry.reason or str(entry.phase), _STYLE.get(str(entry.phase), "")),
            seconds_text(took),
            cell("-" if best is None else f"{best.group} {score_text(best.score)}"),
            score_text(None if best is None else best.held_out),
        )
    if len(entries) > HISTORY_SHOWN:
        table.caption = f"and {len(entries) - HISTORY_SHOWN} before"
        table.caption_justify = "left"
    return table


def _schedule(page: SessionPage, now: datetime) -> Text:
    line = Text("schedule ", style="bold")
    line.append(clean(page.schedule), style="not bold")
    if page.suspended:
        line.append("  fires nothing while suspended", style="not bold yellow")
    elif page.next_schedule is not None:
        left = age_text((page.next_schedule - now).total_seconds())
        line.append(f"  next {_stamp(page.next_schedule)} (in {left})", style="not bold")
    if page.last_schedule is not None:
        line.append(f"  last {_stamp(page.last_schedule)}", style="not bold")
    return line


def _events(events: tuple[EventRow, ...], now: datetime) -> list[RenderableType]:
    lines: list[RenderableType] = []
    for event in events:
        ago = "" if event.time is None else f"{age_text((now - event.time).total_seconds())} ago"
        line = Text(f"  {ago:>10}  ", style="dim")
        style = "not dim bold yellow" if event.warning else "not dim bold"
        line.append(clean(event.reason), style=style)
        times = f" ({event.count} times)" if event.count > 1 else ""
        line.append(clean(f"  {event.message}{times}").replace("\n", " "), style="not dim")
        lines.append(line)
    return lines


def _stamp(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
