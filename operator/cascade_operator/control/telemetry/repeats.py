"""What is said again and again: once, and once a minute from then on (62)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

_SECONDS: Final = 60.0


class Repeats:
    """Remembers what was said last, for whoever tries something until it works."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Has said nothing yet.

        Args:
            clock: Monotonic, in seconds.
        """
        self._clock = clock
        self._words, self._at = "", float("-inf")

    def due(self, words: str) -> bool:
        """Whether to say these words now, which then count as said: new ones, or a minute later."""
        now = self._clock()
        if words == self._words and now - self._at < _SECONDS:
            return False
        self._words, self._at = words, now
        return True
