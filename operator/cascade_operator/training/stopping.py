"""Why and how a search stops early.

Two kinds: what ends the Job without a result, after the checkpoint (the memory gate and SIGTERM,
which raise their ``CascadeError``), and what ends the search with one (time and budgets, which
raise ``SearchStopped``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from cascade_operator.api.status import StopReason


class SearchStopped(Exception):  # noqa: N818 - it is no error: the search ends with a result
    """The search ends here, with the result it has."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(str(reason.value))
        self.reason = reason


class Guard(Protocol):
    """Says when to leave. Asked before each trial and, by the evaluator, between model calls."""

    def check(self) -> None:
        """Returns while work may go on.

        Raises:
            MemoryGateReached: The container is near its memory limit.
            Terminated: The process was told to stop.
            SearchStopped: Time or a budget is used up.
        """
        ...

    def wind_up(self) -> None:
        """Search is over: from now on only the grace time limits what is left (held-out scores)."""
        ...


class RunGuard:
    """The guard of a Job.

    Args:
        urgent: Raises MemoryGateReached or Terminated; asked first, each time.
        seconds_left: Until the run's deadline; None for no deadline.
        spent: Returns the reason when a physical budget of the run is used up, else None.
        grace: Seconds that the work after the search may take; a Job's backstop lies 600 s
            behind its deadline.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        *,
        urgent: Callable[[], None],
        seconds_left: float | None = None,
        spent: Callable[[], StopReason | None] = lambda: None,
        grace: float = 400.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._urgent = urgent
        self._spent = spent
        self._grace = grace
        self._clock = clock
        self._deadline = None if seconds_left is None else clock() + seconds_left
        self._winding_up = False

    def check(self) -> None:
        """See Guard."""
        self._urgent()
        if self._deadline is not None and self._clock() >= self._deadline:
            raise SearchStopped(StopReason.DEADLINE_EXCEEDED)
        if not self._winding_up and (reason := self._spent()) is not None:
            raise SearchStopped(reason)

    def wind_up(self) -> None:
        """See Guard."""
        self._winding_up = True
        if self._deadline is not None:
            self._deadline = max(self._deadline, self._clock()) + self._grace
