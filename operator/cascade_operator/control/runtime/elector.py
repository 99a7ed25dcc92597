"""Leadership over a Lease (87): takes it, keeps it, gives it up.

The client's own election (kubernetes 37) fails on its first write and goes on renewing for a
leader that has died, hence this one.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from cascade_operator.control.kube.errors import UnauthorizedError
from cascade_operator.control.kube.port import ClusterError, ConflictError, RefusedError
from cascade_operator.control.runtime.candidate import Candidate, Terms
from cascade_operator.control.runtime.lease import Lease, LeaseStore, micro_time
from cascade_operator.control.runtime.logs import log
from cascade_operator.control.telemetry.repeats import Repeats

_STAGE: Final = 87
_RELEASE_SECONDS: Final = 3.0


def _wall() -> datetime:
    return datetime.now(UTC)


class Elector:
    """One replica's part in the election."""

    def __init__(
        self,
        store: LeaseStore,
        identity: str,
        terms: Terms,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        wall: Callable[[], datetime] = _wall,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Prepares; nothing is asked yet.

        Args:
            store: The Lease.
            identity: This process's name in it; no other process may ever have the same.
            terms: The election's times.
            clock: Monotonic, in seconds.
            sleep: Waits so many seconds of that clock.
            wall: The time of day, for readers of the Lease.
            chance: 0 to 1, for jitter.
        """
        self._store, self._terms = store, terms
        self._candidate = Candidate(identity, terms)
        self._clock, self._sleep, self._wall, self._chance = clock, sleep, wall, chance
        self._repeats = Repeats(clock)
        self._holder: str | None = None

    @property
    def leads(self) -> bool:
        """Whether this replica may work, right now."""
        return self._candidate.leads(self._clock())

    async def acquire(self) -> None:
        """Stands by until this replica leads."""
        while not await self._round():
            self._tell_holder()
            await self._sleep(self._candidate.pause(self._clock(), self._chance()))
        lease = self._candidate.seen
        transitions = 0 if lease is None else lease.transitions
        log(_STAGE, "this replica leads", identity=self._candidate.identity, term=transitions)

    async def hold(self) -> str:
        """Renews until leadership is lost; returns why, at the latest at the renew deadline."""
        while self.leads:
            pause = self._candidate.pause(self._clock(), self._chance())
            left = self._candidate.deadline() - self._clock()
            await self._sleep(max(0.0, min(pause, left)))
            # A round takes no longer than leadership lasts; past that, none is begun.
            if self.leads:
                await self._round()
        lease = self._candidate.seen
        if lease is not None and lease.holder not in ("", self._candidate.identity):
            return f"another replica took the Lease: {lease.holder}"
        if self._candidate.deadline() == float("-inf"):
            return "the Lease was removed or given up by another hand"
        return f"the Lease could not be renewed for {self._terms.renew:g} s"

    async def release(self) -> None:
        """Gives the Lease up, so that another replica need not wait; best effort, a few seconds."""
        lease = self._candidate.next_release(micro_time(self._wall()))
        if lease is None:
            return
        with suppress(ClusterError, TimeoutError):
            async with asyncio.timeout(_RELEASE_SECONDS):
                asked = self._clock()
                self._candidate.wrote(await self._store.write(lease), asked, self._clock())
            log(_STAGE, "the Lease is given up")

    async def _round(self) -> bool:
        """Looks or writes once; returns whether this replica leads afterwards."""
        deadline = self._candidate.deadline() if self.leads else None
        try:
            async with asyncio.timeout(self._patience(deadline)):
                await self._look_or_write()
        except (ClusterError, TimeoutError) as error:
            self._tell_error(error)
        return self.leads

    async def _look_or_write(self) -> None:
        wanted = self._wanted()
        if wanted is None or not self.leads:
            self._candidate.saw(await self._store.read(), self._clock())
            wanted = self._wanted()
        if wanted is None:
            return
        asked = self._clock()
        try:
            written = await self._store.write(wanted)
        except ConflictError:
            # Written by another, or by a request of ours whose answer was lost: look.
            self._candidate.saw(await self._store.read(), self._clock())
            return
        self._candidate.wrote(written, asked, self._clock())

    def _wanted(self) -> Lease | None:
        return self._candidate.next_write(self._clock(), micro_time(self._wall()))

    def _patience(self, deadline: float | None) -> float:
        """Seconds one round may take: no answer is as good as a refusal, and a leader's end."""
        if deadline is None:
            return self._terms.renew
        return max(0.0, min(self._terms.renew / 2, deadline - self._clock()))

    def _tell_holder(self) -> None:
        lease = self._candidate.seen
        holder = "" if lease is None else lease.holder
        if holder and holder != self._holder:
            log(_STAGE, f"standing by: {holder} leads")
        self._holder = holder

    def _tell_error(self, error: Exception) -> None:
        text = str(error) or type(error).__name__
        if isinstance(error, RefusedError | UnauthorizedError):
            text = (
                f"the Lease is refused: {text}; the service account needs get, create and update "
                "of leases (coordination.k8s.io) in the Lease's namespace"
            )
        if self._repeats.due(text):
            log(_STAGE, f"the Lease cannot be read or written: {text}", level=logging.WARNING)
