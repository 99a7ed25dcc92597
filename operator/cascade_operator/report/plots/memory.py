"""Memory over the time of a run: each Job against its limit, and all that ran at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cascade_operator.report.memory import memory_over_time
from cascade_operator.report.model import AttemptView
from cascade_operator.report.palette import marker
from cascade_operator.report.plots.axes import memory_unit, quiet, time_unit
from cascade_operator.report.svg import SMALL, new_figure

_NAMED: Final = 3
"""Jobs that are drawn strong and named: those that came nearest to their limit."""


def draw_memory(
    attempts: Sequence[AttemptView], *, threshold_percent: float, budget: int
) -> Figure:
    """Draws two panels over one time axis.

    Args:
        attempts: Those with memory readings and a limit.
        threshold_percent: Of a limit, where the gate is.
        budget: For the sum of limits, in bytes; 0 for none.
    """
    figure = new_figure(3.6)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    unit, name = time_unit(max(attempt.start + attempt.seconds for attempt in attempts))
    _shares(top, attempts, unit, threshold_percent)
    _sum(bottom, attempts, unit, budget)
    bottom.set_xlabel(f"{name} after the first Job began", fontsize=SMALL)
    return figure


def _shares(
    axes: Axes, attempts: Sequence[AttemptView], unit: float, threshold_percent: float
) -> None:
    quiet(axes, grid="y")
    nearest = _nearest(attempts)
    for attempt in attempts:
        strong = attempt in nearest
        times, shares = _steps(attempt)
        axes.step(
            [time / unit for time in times],
            shares,
            where="post",
            color=marker("accent" if strong else "faint"),
            linewidth=1.4 if strong else 0.8,
            zorder=3 if strong else 2,
        )
    axes.axhline(100, color=marker("bad"), linewidth=1.0)
    axes.axhline(threshold_percent, color=marker("warm"), linewidth=1.0, linestyle=(0, (4, 2)))
    for height, text, colour in (
        (100.0, "limit", "bad"),
        (threshold_percent, f"gate {threshold_percent:g} %", "warm"),
    ):
        axes.annotate(
            text,
            (1.0, height),
            xycoords=("axes fraction", "data"),
            xytext=(0, 1.5),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=SMALL,
            color=marker(colour),
        )
    _name_nearest(axes, nearest, unit)
    axes.set_ylim(0, max(112.0, *(110.0 * a.peak / a.limit for a in attempts)))
    axes.set_ylabel("% of the Job's limit", fontsize=SMALL)
    axes.tick_params(labelsize=SMALL)


def _nearest(attempts: Sequence[AttemptView]) -> list[AttemptView]:
    """The attempts that came nearest to their limit, at most one a Job."""
    found: dict[str, AttemptView] = {}
    for attempt in sorted(attempts, key=lambda a: (-a.peak / a.limit, a.start, a.job)):
        found.setdefault(attempt.job, attempt)
    return list(found.values())[:_NAMED]


def _name_nearest(axes: Axes, nearest: Sequence[AttemptView], unit: float) -> None:
    """Names them left to right, each a little higher where the one before is near."""
    end = axes.dataLim.x1 or 1.0
    taken: list[tuple[float, float]] = []
    for attempt in sorted(nearest, key=lambda a: a.start):
        _, shares = _steps(attempt)
        peak = max(shares)
        x = (attempt.start + attempt.step * shares.index(peak)) / unit
        y = peak + 2.0
        while any(abs(x - other) < 0.2 * end and abs(y - height) < 9 for other, height in taken):
            y += 9.0
        taken.append((x, y))
        axes.annotate(
            attempt.label,
            (x, y),
            ha="right" if x > 0.85 * end else "left",
            va="bottom",
            fontsize=SMALL,
            fontweight="bold",
            color=marker("accent"),
        )


def _steps(attempt: AttemptView) -> tuple[list[float], list[float]]:
    times = [attempt.start + attempt.step * i for i in range(len(attempt.memory))]
    shares = [100.0 * used / attempt.limit for used in attempt.memory]
    end = max(times[-1], attempt.start + attempt.seconds)
    return [*times, end], [*shares, shares[-1]]


def _sum(axes: Axes, attempts: Sequence[AttemptView], unit: float, budget: int) -> None:
    quiet(axes, grid="y")
    over_time = memory_over_time(attempts)
    size, name = memory_unit(max(*over_time.limits, budget, 1))
    times = [time / unit for time in over_time.seconds]
    limits = [value / size for value in over_time.limits]
    used = [value / size for value in over_time.used]
    axes.fill_between(times, limits, step="post", color=marker("band"), linewidth=0)
    axes.step(times, limits, where="post", color=marker("faint"), linewidth=0.8)
    axes.fill_between(times, used, step="post", color=marker("accent"), linewidth=0)
    if budget:
        axes.axhline(budget / size, color=marker("ink"), linewidth=1.0, linestyle=(0, (1, 1)))
    axes.set_ylim(0, 1.12 * max(*limits, *used, budget / size, 1e-9))
    axes.set_ylabel(f"{name}, all Jobs", fontsize=SMALL)
    axes.tick_params(labelsize=SMALL)
