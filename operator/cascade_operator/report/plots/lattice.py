"""The lattice of subsets: one box a group, edges for inclusion, colour and number for the gain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from cascade_operator.report.model import GroupView
from cascade_operator.report.palette import gain_colour, marker
from cascade_operator.report.svg import SMALL, new_figure
from cascade_operator.report.wording import NONE, signed

_BOX_HEIGHT: Final = 0.72
_STEP: Final = 0.36
"""Inches from one box of a column to the next."""
_MOST_STEP: Final = 0.6
_HEIGHT: Final = 3.4


def draw_lattice(groups: Sequence[GroupView], *, best: str = "") -> Figure:
    """Draws the groups in columns by size, the declared program first.

    Args:
        groups: In cascade order within each size.
        best: Key of the group whose box gets a strong frame.
    """
    sizes = sorted({group.size for group in groups})
    columns = {size: [g for g in groups if g.size == size] for size in sizes}
    most = max(len(column) for column in columns.values())
    step = min(_MOST_STEP, max(_STEP, _HEIGHT / most))
    figure = new_figure(0.4 + step * most)
    axes = figure.subplots()
    axes.set_axis_off()
    scale = max((abs(g.gain.value) for g in groups if g.gain is not None), default=0.0)
    places = {"": (0.0, 0.0)}
    for x, size in enumerate(sizes, start=1):
        for row, group in enumerate(columns[size]):
            places[group.letters] = (float(x), (len(columns[size]) - 1) / 2 - row)
    _edges(axes, groups, places)
    width = 0.72 if len(sizes) <= 4 else 0.92
    letters = SMALL if len(sizes) <= 5 else SMALL - 1.0
    _box(
        axes,
        places[""],
        width=width,
        fontsize=letters,
        name="declared",
        figure="",
        colour="gain-z",
        strong=False,
    )
    for group in groups:
        known = group.gain is not None
        _box(
            axes,
            places[group.letters],
            width=width,
            fontsize=letters,
            name=group.letters,
            figure=signed(group.gain.value, 3) if group.gain else _word(group),
            colour=gain_colour(group.gain.value, scale) if group.gain else "card",
            strong=group.key == best,
            dashed=not known,
        )
    half = most / 2
    for x, size in enumerate(sizes, start=1):
        axes.text(
            x,
            half + 0.28,
            f"{size} node{'s' if size > 1 else ''}",
            ha="center",
            va="bottom",
            fontsize=SMALL,
            color=marker("muted"),
        )
    axes.set_xlim(-0.45, len(sizes) + 0.45)
    axes.set_ylim(-half - 0.1, half + 0.7)
    return figure


def _word(group: GroupView) -> str:
    return "failed" if group.failed else NONE


def _edges(axes: Axes, groups: Sequence[GroupView], places: dict[str, tuple[float, float]]) -> None:
    """From each group to the groups with one node more; the single ones hang on the declared."""
    lines = []
    for group in groups:
        letters = group.letters
        below = [letters.replace(letter, "") for letter in letters]
        lines += [[places[part], places[letters]] for part in below if part in places]
    axes.add_collection(
        LineCollection(lines, colors=marker("faint"), linewidths=0.55, alpha=0.75, zorder=1)
    )


def _box(
    axes: Axes,
    place: tuple[float, float],
    *,
    width: float,
    fontsize: float,
    name: str,
    figure: str,
    colour: str,
    strong: bool,
    dashed: bool = False,
) -> None:
    x, y = place
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - _BOX_HEIGHT / 2),
            width,
            _BOX_HEIGHT,
            boxstyle="round,pad=0,rounding_size=0.09",
            facecolor=marker(colour),
            edgecolor=marker("ink" if strong else "faint"),
            linewidth=1.8 if strong else 0.6,
            linestyle="--" if dashed else "-",
            zorder=2,
        )
    )
    ink = marker(f"on-{colour}") if colour.startswith("gain") else marker("muted")
    if figure:
        axes.text(
            x,
            y + 0.15,
            name,
            ha="center",
            va="center",
            fontsize=fontsize,
            color=ink,
            zorder=3,
            fontweight="bold",
        )
        axes.text(
            x, y - 0.17, figure, ha="center", va="center", fontsize=fontsize, color=ink, zorder=3
        )
    else:
        axes.text(x, y, name, ha="center", va="center", fontsize=fontsize, color=ink, zorder=3)
