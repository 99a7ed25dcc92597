"""What the report's pictures have in common: rows of groups, units of time, quiet axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cascade_operator.report.model import GroupView, NodeView
from cascade_operator.report.palette import marker
from cascade_operator.report.svg import SMALL

MONO: Final = "DejaVu Sans Mono"
ROW: Final = 0.19
"""Inches of a row of text."""
TIGHT_ROW: Final = 0.155
MANY_ROWS: Final = 24


def row_height(rows: int) -> float:
    """Returns the inches of each of some rows: many stand closer."""
    return ROW if rows <= MANY_ROWS else TIGHT_ROW


def group_label(group: GroupView, nodes: Sequence[NodeView]) -> str:
    """Returns a group's letters, a dot for each node that is not in it: ``A·C·``."""
    return "".join(node.letter if node.letter in group.letters else "·" for node in nodes)


def quiet(axes: Axes, *, grid: Literal["x", "y"] = "x") -> None:
    """Leaves of an axes' frame only what guides the eye."""
    for side in ("top", "right", "left" if grid == "x" else "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
    axes.grid(visible=True, axis=grid, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.patch.set_alpha(0.0)


def label_rows(axes: Axes, labels: Sequence[str], *, mono: bool = True) -> None:
    """Names the rows 0, 1, ... from the top down."""
    axes.set_yticks(range(len(labels)), labels)
    for text in axes.get_yticklabels():
        text.set_color(marker("ink"))
        if mono:
            text.set_fontfamily(MONO)
    axes.set_ylim(len(labels) - 0.4, -0.6)


def between_sizes(axes: Axes, groups: Sequence[GroupView], first: int = 0) -> None:
    """Draws a line wherever the groups' size changes."""
    for row in range(1, len(groups)):
        if groups[row].size != groups[row - 1].size:
            axes.axhline(first + row - 0.5, color=marker("line"), linewidth=0.8)


def legend_above(figure: Figure, handles: Sequence[Artist]) -> None:
    """Puts a legend of two columns above the picture, where it covers nothing."""
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=2,
        frameon=False,
        fontsize=SMALL,
        handlelength=1.7,
        columnspacing=1.0,
        borderpad=0.2,
    )


def time_unit(seconds: float) -> tuple[float, str]:
    """Returns the seconds of the unit that suits a duration, and the unit's name."""
    if seconds < 300:
        return 1.0, "seconds"
    return (60.0, "minutes") if seconds < 3 * 3600 else (3600.0, "hours")


def memory_unit(size: float) -> tuple[float, str]:
    """Returns the bytes of the unit that suits a size, and the unit's name."""
    return (2.0**30, "GiB") if size >= 2**30 else (2.0**20, "MiB")
