"""Score by group: the declared program, the best one, and the held-out score, with their spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cascade_operator.report.model import GroupView, Interval, NodeView
from cascade_operator.report.palette import marker
from cascade_operator.report.plots.axes import (
    between_sizes,
    group_label,
    label_rows,
    legend_above,
    quiet,
    row_height,
)
from cascade_operator.report.svg import SMALL, new_figure

_DASHED: Final = (0, (4, 2))
_DOTTED: Final = (0, (1, 1.4))
_STATUS_DIGITS: Final = 1e-4
"""Scores of status are rounded: those of one program may differ from archived ones by less."""


def draw_scores(groups: Sequence[GroupView], nodes: Sequence[NodeView]) -> Figure:
    """Draws one row a group.

    Args:
        groups: In the order of the rows.
        nodes: Of the cascade.
    """
    figure = new_figure(1.1 + row_height(len(groups)) * len(groups))
    axes = figure.subplots()
    quiet(axes)
    between_sizes(axes, groups)
    _baseline(axes, groups)
    _held_out_baseline(axes, groups)
    for row, group in enumerate(groups):
        if group.best is not None:
            _bar(axes, row - 0.14, group.best, "accent")
            axes.plot(group.best.value, row - 0.14, "o", color=marker("accent"), markersize=4.4)
        if group.held_out is not None:
            _bar(axes, row + 0.2, group.held_out, "warm")
            axes.plot(
                group.held_out.value,
                row + 0.2,
                "D",
                markerfacecolor=marker("card"),
                markeredgecolor=marker("warm"),
                markeredgewidth=1.0,
                markersize=3.4,
            )
        if group.failed:
            axes.annotate(
                "failed",
                (0.01, row),
                xycoords=("axes fraction", "data"),
                va="center",
                color=marker("bad"),
                fontsize=SMALL,
            )
    label_rows(axes, [group_label(group, nodes) for group in groups])
    axes.set_xlabel("score; bars: 95 % interval", fontsize=SMALL)
    axes.margins(x=0.06)
    _legend(figure, groups)
    return figure


def _baseline(axes: Axes, groups: Sequence[GroupView]) -> None:
    """One line where the declared program has one score in all groups, as it mostly has."""
    known = [(row, g.baseline) for row, g in enumerate(groups) if g.baseline is not None]
    values = [base.value for _, base in known]
    if known and max(values) - min(values) < _STATUS_DIGITS:
        base = next((base for _, base in known if base.low is not None), known[0][1])
        if base.low is not None and base.high is not None:
            axes.axvspan(base.low, base.high, color=marker("band"), linewidth=0, zorder=0)
        axes.axvline(base.value, color=marker("muted"), linewidth=1.1, linestyle=_DASHED)
        return
    for row, base in known:
        axes.plot(base.value, row, "|", color=marker("muted"), markersize=9)


def _held_out_baseline(axes: Axes, groups: Sequence[GroupView]) -> None:
    known = [g.baseline_held_out.value for g in groups if g.baseline_held_out is not None]
    if known and max(known) - min(known) < _STATUS_DIGITS:
        axes.axvline(known[0], color=marker("warm"), linewidth=1.2, linestyle=_DOTTED)


def _bar(axes: Axes, row: float, interval: Interval, colour: str) -> None:
    if interval.low is not None and interval.high is not None:
        axes.plot([interval.low, interval.high], [row, row], color=marker(colour), linewidth=1.3)


def _legend(figure: Figure, groups: Sequence[GroupView]) -> None:
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=marker("muted"), linestyle=_DASHED, label="declared, validation"),
        Line2D(
            [], [], color=marker("accent"), marker="o", markersize=4.4, label="best, validation"
        ),
    ]
    if any(group.held_out is not None for group in groups):
        handles.append(
            Line2D([], [], color=marker("warm"), linestyle=_DOTTED, label="declared, held-out")
        )
        handles.append(
            Line2D(
                [],
                [],
                color=marker("warm"),
                marker="D",
                markersize=3.4,
                markerfacecolor=marker("card"),
                label="best, held-out",
            )
        )
    legend_above(figure, handles)
