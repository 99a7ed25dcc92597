"""Keeps embedded servers running: one that ends by itself is started again where it was."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from cascade_operator.api.errors import CascadeError, ServiceUnavailable
from cascade_operator.local.servers.running import RunningServer

_LOG = logging.getLogger(__name__)

MOST_RESTARTS: Final = 3
WITHIN_SECONDS: Final = 600.0


class ServerKeeper:
    """Watches servers until it is closed.

    Attributes:
        notes: What was started again, for a reader.
        broken: Set once a server cannot be kept.
    """

    def __init__(
        self,
        servers: Sequence[RunningServer],
        *,
        most: int = MOST_RESTARTS,
        within_seconds: float = WITHIN_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begins to watch.

        Args:
            servers: They run.
            most: Restarts of one server that are tried within a time.
            within_seconds: That time.
            clock: Monotonic seconds.
        """
        self.notes: list[str] = []
        self.broken = asyncio.Event()
        self._error: CascadeError | None = None
        self._most, self._within, self._clock = most, within_seconds, clock
        self._tasks = [
            asyncio.create_task(self._keep(server), name=f"keep {server.name}")
            for server in servers
        ]

    def check(self) -> None:
        """Returns while all servers are kept.

        Raises:
            ServiceUnavailable: One of them is not.
        """
        if self._error is not None:
            raise self._error

    async def close(self) -> None:
        """Watches no longer: the servers are about to be stopped."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task

    async def _keep(self, server: RunningServer) -> None:
        restarts: deque[float] = deque()
        while True:
            code = await server.process.wait()
            now = self._clock()
            while restarts and now - restarts[0] > self._within:
                restarts.popleft()
            said = f"{server.process.name} ended by itself (exit code {code})"
            if len(restarts) >= self._most:
                self._give_up(
                    ServiceUnavailable(
                        f"{said}, {len(restarts) + 1} times in {self._within:g} s:\n"
                        f"{server.process.log_tail()}",
                        mend=f"read its log, {server.process.log}, then the same command resumes",
                    )
                )
                return
            restarts.append(now)
            try:
                await server.start_again()
            except CascadeError as error:
                self._give_up(error)
                return
            self.notes.append(f"{said} and was started again")
            _LOG.warning("%s", self.notes[-1])

    def _give_up(self, error: CascadeError) -> None:
        self._error = error
        self.broken.set()
