"""Which Job was in which stage when."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cascade_operator.report.model import AttemptView
from cascade_operator.report.palette import marker
from cascade_operator.report.plots.axes import (
    label_rows,
    legend_above,
    quiet,
    row_height,
    time_unit,
)
from cascade_operator.report.stages import KINDS, kind_of
from cascade_operator.report.svg import SMALL, new_figure

MOST_ROWS: Final = 90
_HATCHES: Final = {"search": "", "traces": "----", "propose": "xxxx", "archive": "////"}


def draw_timeline(
    rows: Sequence[tuple[str, Sequence[AttemptView]]], crossed: Collection[AttemptView]
) -> Figure:
    """Draws one row a Job, its attempts along it.

    Args:
        rows: A Job's label and its attempts, in the order of the rows; at most ``MOST_ROWS``.
        crossed: Attempts whose end gets a cross.
    """
    figure = new_figure(1.1 + row_height(len(rows)) * len(rows))
    axes = figure.subplots()
    quiet(axes)
    end = max(a.start + a.seconds for _, attempts in rows for a in attempts)
    unit, name = time_unit(end)
    seen: set[str] = set()
    for row, (_, attempts) in enumerate(rows):
        for attempt in attempts:
            bars = [(0.0, attempt.seconds, "other")] if not attempt.spans else []
            bars += [(s.begin, s.end, kind_of(s.code)) for s in attempt.spans]
            for begin, until, kind in bars:
                seen.add(kind)
                axes.barh(
                    row,
                    (until - begin) / unit,
                    left=(attempt.start + begin) / unit,
                    height=0.62,
                    color=marker(f"stage-{kind}"),
                    hatch=_HATCHES.get(kind, ""),
                    edgecolor=marker("card"),
                    linewidth=0,
                )
            if attempt in crossed:
                axes.plot(
                    (attempt.start + attempt.seconds) / unit,
                    row,
                    "X",
                    markersize=5.5,
                    markerfacecolor=marker("bad"),
                    markeredgecolor=marker("card"),
                    markeredgewidth=0.6,
                )
    label_rows(axes, [label for label, _ in rows])
    axes.set_xlim(0, end / unit * 1.01)
    axes.set_xlabel(f"{name} after the first Job began", fontsize=SMALL)
    handles = [
        Patch(
            facecolor=marker(f"stage-{kind}"),
            hatch=_HATCHES.get(kind, ""),
            edgecolor=marker("card"),
            linewidth=0,
            label=label,
        )
        for kind, label in KINDS.items()
        if kind in seen
    ]
    legend_above(figure, handles)
    return figure
