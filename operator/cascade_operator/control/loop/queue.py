"""The work queue (82): each key once, one turn at a time, soon, later, or after a failure."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

COALESCE_SECONDS: Final = 0.05
"""How long a key waits for further events of the same moment: a Job tells several in a row."""

SPACING_SECONDS: Final = 0.25
"""Between two turns of a key that only events ask for: fifteen Jobs that start together tell a
hundred events within seconds, and each turn plans anew."""

FIRST_BACKOFF: Final = 0.5
_GRAIN: Final = 0.001  # an event loop's clock does not tell shorter waits from none
MOST_BACKOFF: Final = 60.0

_K = TypeVar("_K", bound=Hashable)


@dataclass(slots=True)
class _Entry:
    due: float
    ticket: int


class WorkQueue(Generic[_K]):
    """Keys that are due, now or later. Used from one event loop.

    A key that is added again while it waits moves to the earlier of the two times. One that is
    added during its turn is due again after it. So a key is never worked on twice at once, and
    no event is lost.
    """

    def __init__(self, *, jitter: random.Random | None = None) -> None:
        """Holds nothing.

        Args:
            jitter: Spreads retries; seeded in tests.
        """
        self._waiting: dict[_K, _Entry] = {}
        self._heap: list[tuple[float, int, _K]] = []
        self._tickets = itertools.count()
        self._at_work: dict[_K, float | None] = {}
        self._failures: dict[_K, int] = {}
        self._had_turn: dict[_K, float] = {}
        self._jitter = jitter or random.Random()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """How many keys are due."""
        now = _now()
        return sum(entry.due <= now for entry in self._waiting.values())

    def add(self, key: _K, delay: float = COALESCE_SECONDS) -> None:
        """Has a key due after ``delay`` seconds, or when it already is, whichever comes first."""
        due = _now() + delay
        if key in self._at_work:
            held = self._at_work[key]
            self._at_work[key] = due if held is None else min(held, due)
            return
        entry = self._waiting.get(key)
        if entry is not None and entry.due <= due:
            return
        ticket = next(self._tickets)
        self._waiting[key] = _Entry(due, ticket)
        heapq.heappush(self._heap, (due, ticket, key))
        self._changed.set()

    def notice(self, key: _K) -> None:
        """Has a key due soon: something about it has changed."""
        began = self._had_turn.get(key)
        rest = 0.0 if began is None else began + SPACING_SECONDS - _now()
        self.add(key, max(COALESCE_SECONDS, rest))

    def retry(self, key: _K, *, at_least: float = 0.0, most: float = MOST_BACKOFF) -> float:
        """Has a key due after its backoff: doubled with each failure in a row, within a minute.

        Args:
            key: The key.
            at_least: Seconds that the server asked for.
            most: Seconds that the backoff grows to.

        Returns:
            The seconds chosen.
        """
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        backoff = min(FIRST_BACKOFF * 2.0 ** min(failures, 16), most)
        delay = max(at_least, backoff) * self._jitter.uniform(0.8, 1.2)
        self.add(key, delay)
        return delay

    def succeeded(self, key: _K) -> None:
        """Ends a row of failures."""
        self._failures.pop(key, None)

    async def get(self) -> tuple[_K, float]:
        """Waits for a key that is due and begins its turn; ``done`` ends it.

        Returns:
            The key, and for how many seconds it was due.
        """
        while True:
            self._changed.clear()
            wait = self._until_next()
            if wait is None or wait > _GRAIN:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), wait)
                continue
            due, _, key = heapq.heappop(self._heap)
            del self._waiting[key]
            self._at_work[key] = None
            self._had_turn[key] = now = _now()
            asyncio.get_running_loop().call_later(SPACING_SECONDS, self._had_turn.pop, key, None)
            return key, max(0.0, now - due)

    def done(self, key: _K) -> None:
        """Ends a key's turn; it is due again where it was added meanwhile."""
        due = self._at_work.pop(key)
        if due is not None:
            self.add(key, max(0.0, due - _now()))

    def oldest_seconds(self) -> float:
        """For how long the first key has been due; 0 where none is."""
        wait = self._until_next()
        return 0.0 if wait is None else max(0.0, -wait)

    def _until_next(self) -> float | None:
        """Seconds until the next key is due, below 0 where it has been; None for an empty queue."""
        while self._heap:
            due, ticket, key = self._heap[0]
            entry = self._waiting.get(key)
            if entry is not None and entry.ticket == ticket:
                return due - _now()
            heapq.heappop(self._heap)  # it was moved to an earlier time, or forgotten
        return None


def _now() -> float:
    return asyncio.get_running_loop().time()
