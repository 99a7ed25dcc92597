"""``/healthz``, ``/readyz`` and ``/metrics`` over HTTP (89)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, Self

from aiohttp import web

from cascade_operator.control.runtime.health import Vitals, sickness, unreadiness
from cascade_operator.control.runtime.settings import SettingsError
from cascade_operator.control.telemetry.metrics import CONTENT_TYPE, OperatorMetrics

_BEAT_SECONDS: Final = 1.0


class Heartbeat:
    """Notices an event loop that is blocked or starved: it owes a beat each second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()

    def beat(self) -> None:
        """Beats once."""
        self._last = self._clock()

    def seconds(self) -> float:
        """Seconds since the last beat."""
        return self._clock() - self._last

    async def run(self) -> None:
        """Beats until cancelled."""
        while True:
            self.beat()
            await asyncio.sleep(_BEAT_SECONDS)


class Probes:
    """The servers. Answers are plain text of one line; nothing is asked of the cluster.

    Attributes:
        health_port: Where ``/healthz`` and ``/readyz`` are, once it is started.
        metrics_port: Where ``/metrics`` is.
    """

    def __init__(
        self,
        vitals: Callable[[], Vitals],
        metrics: OperatorMetrics,
        *,
        address: str,
        health_port: int,
        metrics_port: int,
    ) -> None:
        self._vitals, self._metrics, self._address = vitals, metrics, address
        self.health_port, self.metrics_port = health_port, metrics_port
        self._runners: list[web.AppRunner] = []

    async def __aenter__(self) -> Self:
        """Starts listening.

        Raises:
            SettingsError: A port or the address is not to be had.
        """
        probes = [web.get("/healthz", self._healthz), web.get("/readyz", self._readyz)]
        metrics = [web.get("/metrics", self._render)]
        try:
            if self.health_port == self.metrics_port and self.health_port:
                await self._serve("--health-port", self.health_port, probes + metrics)
            else:
                self.health_port = await self._serve("--health-port", self.health_port, probes)
                self.metrics_port = await self._serve("--metrics-port", self.metrics_port, metrics)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stops listening."""
        await self.close()

    async def close(self) -> None:
        """Stops listening; open requests get a moment."""
        runners, self._runners = self._runners, []
        for runner in runners:
            await runner.cleanup()

    async def _serve(self, flag: str, port: int, routes: list[web.RouteDef]) -> int:
        app = web.Application()
        app.add_routes(routes)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, handle_signals=False)
        await runner.setup()
        self._runners.append(runner)
        site = web.TCPSite(runner, self._address, port)
        try:
            await site.start()
        except OSError as error:
            raise SettingsError(
                f"cannot listen on {self._address}:{port}: {error.strerror or error}",
                mend=f"give {flag} a free port (0 takes any), or --address one of this machine",
            ) from error
        return int(runner.addresses[0][1])

    async def _healthz(self, _: web.Request) -> web.Response:
        return _answer(sickness(self._vitals()), 500)

    async def _readyz(self, _: web.Request) -> web.Response:
        return _answer(unreadiness(self._vitals()), 503)

    async def _render(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.render(), headers={"Content-Type": CONTENT_TYPE})


def _answer(reason: str, status: int) -> web.Response:
    if reason:
        return web.Response(status=status, text=f"{reason}\n")
    return web.Response(text="ok\n")
