"""One replica in the election (87): what it saw, what it may write, whether it leads. Pure.

The rule that keeps two from leading at once: a leader counts its time from *before* it sent the
renewal, and stops at the renew deadline; another waits from *after* it saw that renewal, and for
the longer lease duration. Both measure on their own monotonic clock, so it does not matter what
either takes the time of day to be, and clocks may differ in speed by the margin between the two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from cascade_operator.control.runtime.lease import Lease

_RELEASED_SECONDS: Final = 1
"""The duration of a Lease that nobody holds: the API server wants one."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The election's times in seconds; see ``LeaseSettings``."""

    duration: float = 15.0
    renew: float = 10.0
    retry: float = 2.0


class Candidate:
    """One replica. Times are seconds of its own monotonic clock.

    Attributes:
        identity: Its name in the Lease; no other process ever has it.
    """

    def __init__(self, identity: str, terms: Terms) -> None:
        self.identity = identity
        self._terms = terms
        self._seen: Lease | None = None
        self._seen_at = -math.inf
        self._looked = False
        self._removed_until = -math.inf
        self._renewed_at: float | None = None

    @property
    def seen(self) -> Lease | None:
        """The Lease as it was seen last; None where there was none."""
        return self._seen

    def leads(self, now: float) -> bool:
        """Whether it may work."""
        return self._renewed_at is not None and now < self._renewed_at + self._terms.renew

    def deadline(self) -> float:
        """When it stops leading unless a renewal succeeds; minus infinity where it does not."""
        return -math.inf if self._renewed_at is None else self._renewed_at + self._terms.renew

    def saw(self, lease: Lease | None, now: float) -> None:
        """Takes note of the Lease as it was read, when the answer had come."""
        self._looked = True
        if lease is None and self._seen is not None and self._seen.holder != self.identity:
            # Removed by another hand: its holder may not know yet, and works for as long as it
            # was promised.
            self._removed_until = self.free_at()
        if lease is None or lease != self._seen:
            self._seen, self._seen_at = lease, now
        if lease is None or lease.holder != self.identity:
            # Someone removed it or took it over: whoever reads it now may lead next.
            self._renewed_at = None

    def wrote(self, lease: Lease, asked: float, now: float) -> None:
        """Takes note of a write of its own that succeeded.

        Args:
            lease: As it stands now.
            asked: When the request was sent; its time counts from there.
            now: When the answer had come.
        """
        self._seen, self._seen_at, self._looked = lease, now, True
        self._renewed_at = asked if lease.holder == self.identity else None

    def next_write(self, now: float, time: str) -> Lease | None:
        """The Lease it would write now; None where it has to look or to wait.

        Args:
            now: On its clock.
            time: The time of day, for readers of the Lease.
        """
        if not self._looked:
            return None
        old, seconds = self._seen, math.ceil(self._terms.duration)
        if old is None:
            if now < self._removed_until:
                return None
            return Lease(self.identity, seconds, acquired=time, renewed=time)
        if old.holder == self.identity:
            return Lease(
                self.identity, seconds, old.transitions, old.acquired or time, time, old.version
            )
        if now < self.free_at():
            return None
        return Lease(self.identity, seconds, old.transitions + 1, time, time, old.version)

    def next_release(self, time: str) -> Lease | None:
        """The Lease that gives up its own; None where it has none."""
        old = self._seen
        if old is None or old.holder != self.identity:
            return None
        return Lease("", _RELEASED_SECONDS, old.transitions, time, time, old.version)

    def free_at(self) -> float:
        """When the Lease it saw may be taken, if it is not renewed before."""
        if self._seen is None or not self._seen.holder:
            return -math.inf
        # The holder's own promise counts: it may have been started with another duration.
        promised = self._seen.duration_seconds or self._terms.duration
        return self._seen_at + promised

    def pause(self, now: float, jitter: float) -> float:
        """Seconds until it acts again.

        Args:
            now: On its clock.
            jitter: 0 to 1, so that replicas do not ask in step.
        """
        if self.leads(now):
            return self._terms.retry * (0.9 + 0.1 * jitter)
        look = self._terms.retry / 2 * (0.8 + 0.4 * jitter)
        until_free = self.free_at() - now
        return min(look, until_free) if until_free > 0 else look
