"""Memory of the Jobs that ran at once, over the time of a run. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from cascade_operator.report.model import AttemptView

POINTS: Final = 400


@dataclass(frozen=True, slots=True)
class MemoryOverTime:
    """Sums over the Jobs that ran, each holding until the next time.

    Attributes:
        seconds: Ascending, after the run's first attempt began.
        used: Working sets, in bytes.
        limits: Memory limits, in bytes.
    """

    seconds: tuple[float, ...]
    used: tuple[int, ...]
    limits: tuple[int, ...]

    @property
    def peak(self) -> int:
        """The most that was in use at once, in bytes."""
        return max(self.used, default=0)


def memory_over_time(attempts: Sequence[AttemptView]) -> MemoryOverTime:
    """Adds up the attempts' memory.

    Each reading stands for its whole step, so that a sum is hardly below what was in use at once.
    """
    read = [attempt for attempt in attempts if attempt.memory]
    end = max((attempt.start + attempt.seconds for attempt in read), default=0.0)
    if end <= 0.0:
        return MemoryOverTime((), (), ())
    events = [t for a in read for t in (a.start, a.start + a.seconds)]
    times = np.unique(np.concatenate([np.linspace(0.0, end, POINTS), events]))
    used, limits = np.zeros(len(times)), np.zeros(len(times))
    for attempt in read:
        inside = (times >= attempt.start) & (times < attempt.start + attempt.seconds)
        index = ((times[inside] - attempt.start) / attempt.step).astype(int)
        peaks = np.asarray(attempt.memory, dtype=np.float64)
        used[inside] += peaks[np.minimum(index, len(peaks) - 1)]
        limits[inside] += attempt.limit
    return MemoryOverTime(
        tuple(times.tolist()), tuple(int(x) for x in used), tuple(int(x) for x in limits)
    )
