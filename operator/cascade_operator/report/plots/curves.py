"""Learning curves: the best whole-split score so far, by trial, one panel a group size."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cascade_operator.report.model import GroupView
from cascade_operator.report.palette import marker
from cascade_operator.report.plots.axes import quiet
from cascade_operator.report.svg import SMALL, new_figure


def draw_curves(groups: Sequence[GroupView]) -> Figure:
    """Draws every group faint and the best one of each size strong and named.

    Args:
        groups: Those with at least one whole-split trial.
    """
    sizes = sorted({group.size for group in groups})
    columns = 1 if len(sizes) == 1 else 2
    rows = -(-len(sizes) // columns)
    figure = new_figure(0.35 + 1.55 * rows)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    last = max(point.trial for group in groups for point in group.curve)
    for at, axes in enumerate(grid.flat):
        if at >= len(sizes):
            axes.set_axis_off()
            continue
        _panel(axes, [g for g in groups if g.size == sizes[at]], last)
        axes.set_title(
            f"{sizes[at]} node{'s' if sizes[at] > 1 else ''}",
            fontsize=SMALL,
            loc="left",
            color=marker("muted"),
        )
    figure.supxlabel("trial (0 is the declared program)", fontsize=SMALL, color=marker("muted"))
    figure.supylabel("best score so far", fontsize=SMALL, color=marker("muted"))
    return figure


def _panel(axes: Axes, groups: Sequence[GroupView], last: int) -> None:
    quiet(axes, grid="y")
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.tick_params(labelsize=SMALL)
    best = max(groups, key=lambda group: group.curve[-1].best)
    for group in groups:
        chosen = group is best
        trials = [point.trial for point in group.curve]
        scores = [point.best for point in group.curve]
        end = max(group.trials - 1, trials[-1])
        axes.step(
            [*trials, end],
            [*scores, scores[-1]],
            where="post",
            color=marker("accent" if chosen else "faint"),
            linewidth=1.8 if chosen else 0.9,
            alpha=1.0 if chosen else 0.8,
            zorder=3 if chosen else 2,
        )
        if chosen:
            axes.annotate(
                f"{group.letters} {scores[-1]:.3f}",
                (end if end > last / 2 else 0, scores[-1]),
                xytext=(0 if end > last / 2 else 2, 3),
                textcoords="offset points",
                ha="right" if end > last / 2 else "left",
                va="bottom",
                fontsize=SMALL,
                fontweight="bold",
                color=marker("accent"),
            )
    axes.set_xlim(0, max(1, last))
    axes.margins(y=0.16)
