"""Keeps the watches up (88): kopf ends over some answers of an API server; the operator does not.

A CRD that is removed, an API server whose store is away, credentials that were renewed late: kopf
gives up, and is started again once the API server serves TrainingSessions. Only where it gives up
time and again although they are served is something wrong that waiting does not mend, such as a
right that is missing; then the process ends and says so.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Final

from cascade_operator.api.errors import CascadeError
from cascade_operator.control.kube.port import ClusterError
from cascade_operator.control.runtime.discovery import MEND
from cascade_operator.control.runtime.logs import log
from cascade_operator.control.telemetry.repeats import Repeats

_STAGE: Final = 88
_MOST_FAILURES: Final = 5
_WELL_SECONDS: Final = 300.0
_PAUSE_SECONDS: Final = 2.0


class WatchState(StrEnum):
    """How the watches are."""

    STARTING = "starting"
    WATCHING = "watching"
    NO_ANSWER = "the API server does not answer"
    NO_CRD = "the API server does not serve TrainingSessions: the CRD was removed"


class WatchesFailedError(CascadeError):
    """kopf gave up time and again."""

    reason = "WatchesFailed"


class Watches:
    """Runs kopf, again where it gave up.

    Attributes:
        state: How they are.
    """

    def __init__(
        self,
        watch: Callable[[asyncio.Event], Awaitable[None]],
        served: Callable[[], Awaitable[bool]],
        *,
        restarted: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Prepares.

        Args:
            watch: Watches, sets the event once it has started; returns when told to stop.
            served: Whether the API server serves TrainingSessions; may raise ``ClusterError``.
            restarted: Called before watching anew: what was deleted meanwhile has no event.
            clock: Monotonic, in seconds.
            sleep: Waits so many seconds of it.
        """
        self._watch, self._served, self._restarted = watch, served, restarted
        self._clock, self._sleep = clock, sleep
        self._failures = 0
        self.state = WatchState.STARTING

    async def run(self) -> None:
        """Watches until told to stop.

        Raises:
            WatchesFailedError: kopf gave up for good.
        """
        # kopf would wait without a word for a kind that is not served when it starts.
        await self._until_served()
        while True:
            began = self._clock()
            try:
                await self._watch_once()
            except Exception as error:  # noqa: BLE001 - whatever kopf has no use for
                log(_STAGE, f"the watches ended: {_words(error)}", level=logging.WARNING)
                failure = error
            else:
                return
            if self._clock() - began >= _WELL_SECONDS:
                self._failures = 0
            if not await self._until_served():
                await self._pause_after(failure)
            log(_STAGE, "watching again")
            self._restarted()

    async def _pause_after(self, failure: Exception) -> None:
        """Waits longer each time that it was not for want of anything served."""
        self._failures += 1
        if self._failures >= _MOST_FAILURES:
            raise WatchesFailedError(
                f"the watches ended {self._failures} times: {_words(failure)}",
                mend="let the service account get, list and watch trainingsessions, jobs and pods "
                "where the operator serves",
            ) from failure
        await self._sleep(_PAUSE_SECONDS * 2 ** (self._failures - 1))

    async def _watch_once(self) -> None:
        started = asyncio.Event()

        async def mark() -> None:
            await started.wait()
            self.state = WatchState.WATCHING

        marking = asyncio.ensure_future(mark())
        try:
            await self._watch(started)
        finally:
            marking.cancel()

    async def _until_served(self) -> bool:
        """Waits until TrainingSessions are served; returns whether they were not at first."""
        waited, repeats = False, Repeats(self._clock)
        while True:
            try:
                if await self._served():
                    self.state = WatchState.STARTING
                    return waited
                self.state, words = WatchState.NO_CRD, f"to mend: {MEND}"
            except ClusterError as error:
                self.state, words = WatchState.NO_ANSWER, _words(error)
            waited = True
            if repeats.due(self.state):
                log(_STAGE, f"{self.state}; waiting; {words}", level=logging.ERROR)
            await self._sleep(_PAUSE_SECONDS)


def _words(error: BaseException) -> str:
    """An error in a line, with what it came from where it says nothing itself."""
    text = " ".join(str(error).split())[:500] or type(error).__name__
    cause = error.__cause__
    return f"{text} ({_words(cause)})" if isinstance(cause, Exception) else text
