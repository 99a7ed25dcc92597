"""Stage 62: when each stage of a Job ran and how its memory went; bounded, whatever its length."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

POINTS: Final = 200
"""Memory readings kept of one attempt; past them, two neighbours become their maximum."""
SPANS: Final = 200
"""Stage spans kept of one attempt; past them, the shortest goes."""
FINISHED: Final = "Done"


class MemorySeries:
    """The highest working set within each of at most ``POINTS`` equal steps of time."""

    def __init__(self) -> None:
        self._step = 1.0
        self._peaks: list[int] = []

    def add(self, at: float, used: int) -> None:
        """Takes a reading of ``used`` bytes, ``at`` seconds after the start; times only grow."""
        index = int(at / self._step)
        while index >= POINTS:
            pairs = range(0, len(self._peaks), 2)
            self._peaks = [max(self._peaks[i : i + 2]) for i in pairs]
            self._step *= 2
            index = int(at / self._step)
        last = self._peaks[-1] if self._peaks else used
        # A step without a reading holds what was last known.
        self._peaks += [last] * (index - len(self._peaks))
        if index == len(self._peaks):
            self._peaks.append(used)
        self._peaks[index] = max(self._peaks[index], used)

    def to_json(self) -> dict[str, Any]:
        """Seconds of one step, and the peak of each step in bytes."""
        return {"step": self._step, "bytes": list(self._peaks)}


class JobTimeline:
    """One attempt of a Job: its stages, each second given to the innermost one, and its memory.

    Safe to use from several threads.

    Args:
        name: ``prepare``, ``archive`` or a group's key.
        attempt: The attempt's number; an attempt that was suspended comes again under the same.
        clock: Gives Unix time.
    """

    def __init__(
        self, name: str, attempt: int = 1, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._name = name
        self._attempt = attempt
        self._clock = clock
        self._start = clock()
        self._limit = 0
        self._memory = MemorySeries()
        self._spans: list[tuple[int, float, float]] = []
        self._base: int | None = None
        self._inner: list[int] = []
        self._since = 0.0
        self._end: float | None = None
        self._outcome = ""
        self._lock = threading.Lock()

    @property
    def field(self) -> str:
        """What tells this attempt from the run's others."""
        return f"{self._name}:{self._attempt}:{round(self._start * 1000)}"

    def moved_to(self, code: int) -> None:
        """The Job is in this stage, wherever no stage within it says otherwise."""
        with self._turning():
            self._base = code

    def entered(self, code: int) -> None:
        """A stage began."""
        with self._turning():
            self._inner.append(code)

    def left(self, code: int) -> None:
        """A stage ended."""
        with self._turning():
            if code in self._inner:
                del self._inner[len(self._inner) - 1 - self._inner[::-1].index(code)]

    def read_memory(self, used: int, limit: int) -> None:
        """Takes a reading, in bytes."""
        with self._lock:
            self._limit = limit
            self._memory.add(self._seconds(), used)

    def ended(self, outcome: str) -> None:
        """The attempt is over: ``Done``, or the reason why it left."""
        with self._turning():
            self._base, self._inner = None, []
        self._end = self._seconds()
        self._outcome = outcome

    def to_json(self) -> dict[str, Any]:
        """Returns what stands in the run's timeline; times in seconds after ``start``."""
        with self._lock:
            now = self._seconds()
            spans = [*self._spans, *self._running(now)]
            return {
                "job": self._name,
                "attempt": self._attempt,
                "start": round(self._start, 3),
                "seconds": round(now if self._end is None else self._end, 3),
                "outcome": self._outcome,
                "memoryLimit": self._limit,
                "memory": self._memory.to_json(),
                "stages": [[code, round(begin, 3), round(end, 3)] for code, begin, end in spans],
            }

    def _seconds(self) -> float:
        # A clock that was set back must not make time run backwards.
        return max(self._since, self._clock() - self._start)

    def _current(self) -> int | None:
        return self._inner[-1] if self._inner else self._base

    def _running(self, now: float) -> list[tuple[int, float, float]]:
        code = self._current()
        return [] if code is None or now <= self._since else [(code, self._since, now)]

    @contextmanager
    def _turning(self) -> Iterator[None]:
        """Closes the current stage's span where the block changes what the current stage is."""
        with self._lock:
            before = self._current()
            now = self._seconds()
            running = self._running(now)
            yield
            if self._current() == before:
                return
            self._spans += running
            self._since = now
            if len(self._spans) > SPANS:
                self._spans.remove(min(self._spans, key=lambda span: span[2] - span[1]))
