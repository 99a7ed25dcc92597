"""Model calls and tokens by group: what reached a server and what was saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, MaxNLocator

from cascade_operator.report.palette import marker
from cascade_operator.report.plots.axes import label_rows, legend_above, quiet, row_height
from cascade_operator.report.svg import SMALL, new_figure


@dataclass(frozen=True, slots=True)
class CallRow:
    """One Job's calls: those a server answered, those none had to, and the tokens of both."""

    label: str
    calls: int
    saved_calls: int
    tokens: int
    saved_tokens: int


def draw_calls(rows: Sequence[CallRow]) -> Figure:
    """Draws two panels side by side that share their rows: calls and tokens."""
    figure = new_figure(0.85 + row_height(len(rows)) * len(rows))
    left, right = figure.subplots(1, 2, sharey=True)
    _panel(left, [(row.calls, row.saved_calls) for row in rows], "model calls")
    _panel(right, [(row.tokens, row.saved_tokens) for row in rows], "tokens")
    label_rows(left, [row.label for row in rows])
    handles = [
        Patch(facecolor=marker("accent"), label="reached a server"),
        Patch(
            facecolor=marker("gain-p2"),
            hatch="//////",
            edgecolor=marker("card"),
            linewidth=0,
            label="saved",
        ),
    ]
    legend_above(figure, handles)
    return figure


def _panel(axes: Axes, pairs: Sequence[tuple[int, int]], title: str) -> None:
    quiet(axes)
    rows = range(len(pairs))
    spent, saved = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    axes.barh(rows, spent, height=0.66, color=marker("accent"))
    axes.barh(
        rows,
        saved,
        left=spent,
        height=0.66,
        color=marker("gain-p2"),
        hatch="//////",
        edgecolor=marker("card"),
        linewidth=0,
    )
    axes.set_xlabel(title, fontsize=SMALL)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.tick_params(axis="x", labelsize=SMALL)
    axes.margins(x=0.03)
