"""What training each node was worth: Shapley values with their intervals."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from cascade_operator.report.model import AttributionView
from cascade_operator.report.palette import marker
from cascade_operator.report.plots.axes import label_rows, quiet
from cascade_operator.report.svg import SMALL, new_figure
from cascade_operator.report.wording import signed


def draw_attribution(rows: Sequence[AttributionView]) -> Figure:
    """Draws one row a node; hollow and dashed where the interval spans 0."""
    figure = new_figure(0.55 + 0.42 * len(rows))
    axes = figure.subplots()
    quiet(axes)
    axes.axvline(0.0, color=marker("muted"), linewidth=1.0)
    for row, one in enumerate(rows):
        worth = one.worth
        colour = "muted" if not worth.evidence else ("accent" if worth.value > 0 else "warm")
        if worth.low is not None and worth.high is not None:
            axes.plot(
                [worth.low, worth.high],
                [row, row],
                color=marker(colour),
                linewidth=1.8,
                linestyle="-" if worth.evidence else (0, (2, 1.5)),
            )
        axes.plot(
            worth.value,
            row,
            "o",
            markersize=5.5,
            markeredgecolor=marker(colour),
            markerfacecolor=marker(colour if worth.evidence else "card"),
        )
        said = signed(worth.value)
        axes.annotate(
            said if worth.evidence else f"{said}, no evidence",
            (worth.value, row),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=SMALL,
            color=marker("ink" if worth.evidence else "muted"),
            bbox={"facecolor": marker("card"), "edgecolor": "none", "pad": 0.6},
        )
    label_rows(axes, [f"{one.node.letter} {_short(one.node.short)}" for one in rows], mono=False)
    axes.set_ylim(len(rows) - 0.5, -0.8)
    axes.margins(x=0.14)
    axes.set_xlabel("held-out score; bars: 95 % interval", fontsize=SMALL)
    return figure


def _short(name: str) -> str:
    return name if len(name) <= 16 else f"{name[:15]}…"
