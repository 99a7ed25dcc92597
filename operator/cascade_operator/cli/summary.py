"""What a run came to, for a reader: groups, the best one, attribution, archives. Pure."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from cascade_operator.cli.console import clean
from cascade_operator.cli.reasons import explained
from cascade_operator.cli.tables import cell, plain_table
from cascade_operator.cli.view import BestRow, CallRow, RunView
from cascade_operator.monitoring.figures import (
    count_text,
    delta_text,
    memory_text,
    score_text,
    seconds_text,
)

EMBEDDED_NOTE = (
    "the embedded model is small and few examples were scored: these figures show the machinery, "
    "not good prompts; name your own model under spec.models.task for those"
)
NO_ATTRIBUTION = (
    "what each node's training was worth is not known: that needs every subset of the nodes, "
    "trained and scored on held-out records"
)
_CALLS = {
    "calls": "model_calls",
    "tokens": "tokens",
    "cache hits": "cache_hits",
    "waits": "waits",
    "saved calls": "saved_calls",
    "saved tokens": "saved_tokens",
}
_CALLS_LEFT_OUT = ("cache hits", "waits", "saved tokens")
WIDE = 100
"""Columns below which the table of calls leaves out all but calls, tokens and what was saved."""
_RIGHT = ("trials", "baseline", "best", "change", "held-out")
NARROW = 72
"""Columns below which a table leaves out what follows from the rest."""
_LEFT_OUT = ("trials", "baseline")


def render_summary(view: RunView, *, embedded: bool = False, width: int = 120) -> RenderableType:
    """Renders the end of a run.

    Args:
        view: The last look at it.
        embedded: Whether the embedded model answered, which limits what the figures say.
        width: Columns of the terminal.
    """
    parts: list[RenderableType] = [_title(view)]
    if view.warm_started_from:
        parts.append(Text(clean(f"warm-started from {view.warm_started_from}")))
    if view.groups:
        parts += [Text(), _group_table(view, narrow=width < NARROW)]
        legend = explained(group.reason for group in view.groups)
        parts += [Text(legend, style="dim")] if legend else []
    if view.calls != CallRow():
        heading = Text("model calls", style="bold")
        parts += [Text(), heading, _call_table(view, narrow=width < WIDE)]
    if view.best is not None:
        parts += [Text(), *best_lines(view.best)]
    if view.attribution:
        parts += [Text(), *attribution_lines(view)]
    elif view.phase == "Complete":
        parts += [Text(), Text(NO_ATTRIBUTION, style="dim")]
    if view.archives:
        parts += [Text(), *archive_lines(view)]
    closing = [*view.notes, *([EMBEDDED_NOTE] if embedded else [])]
    if closing:
        parts += [Text(), *(Text(clean(f"note: {note}"), style="dim") for note in closing)]
    return Group(*parts)


def archive_lines(view: RunView) -> list[RenderableType]:
    """The run's archives, each with its size."""
    heading = Text("archives", style="bold")
    return [heading, *(_path(f"  {a.path}  {memory_text(a.size)}") for a in view.archives)]


def _path(text: str) -> Text:
    """A line that the terminal wraps, not we: what is copied from it stays one path."""
    return Text(clean(text), no_wrap=True, overflow="ignore")


def _title(view: RunView) -> Text:
    style = {"Complete": "bold green", "Failed": "bold red"}.get(view.phase, "bold yellow")
    line = Text(clean(f"{view.session}: run {view.run} {view.phase.lower()}"), style=style)
    line.append(f" after {seconds_text(view.elapsed)}", style="not bold default")
    if view.message:
        line.append(clean(f" ({view.message})"), style="not bold default")
    return line


def _group_table(view: RunView, *, narrow: bool) -> RenderableType:
    figures = tuple(name for name in _RIGHT if not (narrow and name in _LEFT_OUT))
    table = plain_table("group", "ended", *figures, right=figures)
    for group in view.groups:
        is_best = view.best is not None and view.best.key == group.key
        state = group.reason or group.phase
        table.add_row(
            cell(group.name, "bold" if is_best else ""),
            cell(state if not group.message else f"{state}: {group.message}"),
            *(() if narrow else (str(group.trials or 0), score_text(group.baseline))),
            cell(score_text(group.best), "bold green" if is_best else ""),
            delta_text(group.best, group.baseline),
            score_text(group.held_out),
        )
    return table


def _call_table(view: RunView, *, narrow: bool) -> RenderableType:
    """Calls that servers answered, and those that none had to: hits, and outcomes still known."""
    names = tuple(name for name in _CALLS if not (narrow and name in _CALLS_LEFT_OUT))
    table = plain_table("", *names, right=names)
    rows = [(group.name, group.calls) for group in view.groups]
    for name, calls in (("prepare", view.prepare_calls), *rows, ("in all", view.calls)):
        style = "bold" if name == "in all" else ""
        figures = (count_text(getattr(calls, _CALLS[column])) for column in names)
        table.add_row(cell(name, style), *(cell(figure, style) for figure in figures))
    return table


def best_lines(best: BestRow) -> list[RenderableType]:
    """The program that was chosen, and what it is worth."""
    held_out = (
        f"  held-out {score_text(best.held_out)}, the declared program has "
        f"{score_text(best.baseline_held_out)} "
        f"({delta_text(best.held_out, best.baseline_held_out)})"
    )
    chosen = Text("best group ", style="bold")
    chosen.append(clean(best.name), style="bold green")
    chosen.append(f"  validation {score_text(best.score)}", style="not bold default")
    return [chosen, Text(held_out)]


def attribution_lines(view: RunView) -> list[RenderableType]:
    """What each node's training was worth."""
    table = plain_table("node", "worth", "interval", "", right=("worth",))
    for row in view.attribution:
        table.add_row(
            cell(row.node),
            f"{row.value:+.4f}",
            f"[{row.low:+.4f}, {row.high:+.4f}]",
            cell("" if row.evidence else "no evidence", "dim"),
        )
    return [Text("what each node's training was worth on held-out records", style="bold"), table]
