"""One measured figure and the goal it is held against."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure.

    Attributes:
        name: What was measured.
        value: Mostly a ratio of two medians of one run.
        goal: What is wanted; None for a figure that only informs.
        at_least: Whether more is better; else less is.
        command: What measures it again.
    """

    name: str
    value: float
    goal: float | None
    at_least: bool
    command: str

    @property
    def reached(self) -> bool | None:
        """Whether the goal was reached; None where there is none."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    @property
    def verdict(self) -> str:
        """The goal and whether it was reached, in words."""
        if self.goal is None:
            return "no goal"
        bound = "at least" if self.at_least else "at most"
        return f"{bound} {self.goal:g}: {'reached' if self.reached else 'MISSED'}"


def paired_medians(
    first: Callable[[], object], second: Callable[[], object], *, rounds: int = 5
) -> tuple[float, float]:
    """Times two functions in turn, so that both see the same machine; medians in seconds."""
    times: tuple[list[float], list[float]] = ([], [])
    first(), second()  # warm up
    for _ in range(rounds):
        for function, taken in zip((first, second), times, strict=True):
            begin = time.perf_counter()
            function()
            taken.append(time.perf_counter() - begin)
    return statistics.median(times[0]), statistics.median(times[1])
