"""The operator's process (89): what it is made of, how it starts, and how it ends.

It ends with 0 when told to, within its time; with 1 when it must not or cannot go on working (the
Lease lost, watches that fail for good, no CRD): then its pod starts it again.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import signal
import socket
import sys
import uuid
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from cascade_operator.api.errors import CascadeError
from cascade_operator.control.kube.api import KubeApi
from cascade_operator.control.kube.cluster import KubeCluster
from cascade_operator.control.kube.depth import deep_objects
from cascade_operator.control.kube.listing import Lister
from cascade_operator.control.kube.live_figures import LiveFigures
from cascade_operator.control.kube.port import ClusterError
from cascade_operator.control.loop.controller import Controller
from cascade_operator.control.runtime.candidate import Terms
from cascade_operator.control.runtime.claims import Territory, territory_of
from cascade_operator.control.runtime.discovery import (
    CrdMissingError,
    require_sessions,
    serves_sessions,
)
from cascade_operator.control.runtime.elector import Elector
from cascade_operator.control.runtime.health import Role, Vitals
from cascade_operator.control.runtime.kopf_app import watch
from cascade_operator.control.runtime.lease import KubeLeases
from cascade_operator.control.runtime.logs import configure_logs, log
from cascade_operator.control.runtime.probes import Heartbeat, Probes
from cascade_operator.control.runtime.rights import Rights
from cascade_operator.control.runtime.settings import Settings
from cascade_operator.control.runtime.watches import Watches, WatchesFailedError
from cascade_operator.control.telemetry.metrics import OperatorMetrics

_STAGE: Final = 89
_FAILED: Final = 1
_DRAIN_SECONDS: Final = 10.0
_WATCHES_SECONDS: Final = 6.0


def run(settings: Settings) -> int:
    """Runs an operator until it is told to stop; returns the process's exit code."""
    configure_logs(settings.log_format, settings.log_level)
    try:
        with deep_objects():
            return asyncio.run(Operator(settings).run())
    except CascadeError as error:
        mend = f"; to mend: {error.mend}" if error.mend else ""
        log(_STAGE, f"{error}{mend}", level=logging.ERROR, reason=error.reason)
        ours = isinstance(error, CrdMissingError | WatchesFailedError)
        return _FAILED if ours else int(error.exit_code)
    finally:
        faulthandler.cancel_dump_traceback_later()


@dataclass(frozen=True, slots=True)
class _Working:
    """The parts of a replica; ``leads`` is set once it leads."""

    controller: Controller
    watches: Watches
    territory: Territory
    leads: asyncio.Event
    stop_watching: asyncio.Event


class Operator:
    """One replica. Made and run in one event loop.

    Attributes:
        metrics: Its figures.
        probes: Where it is asked how it is; None before it is.
    """

    def __init__(self, settings: Settings) -> None:
        self.metrics = OperatorMetrics()
        self.probes: Probes | None = None
        self._settings = settings
        self._role = Role.STARTING
        self._heart = Heartbeat()
        self._working: _Working | None = None
        self._rights: Rights | None = None
        self._told_to_stop = asyncio.Event()

    async def run(self) -> int:
        """Works until told to stop; returns the exit code.

        Raises:
            CascadeError: It could not start, or not go on.
        """
        settings = self._settings
        self._take_signals()
        log(_STAGE, "starting", settings=settings.shown())
        api = await KubeApi.connect(
            kubeconfig=None if settings.kubeconfig is None else str(settings.kubeconfig),
            context=settings.context or None,
            watches=2 * max(1, len(settings.namespaces)),
            told=self._requested,
        )
        heart = asyncio.create_task(self._heart.run(), name="heartbeat")
        try:
            async with Probes(
                self.vitals,
                self.metrics,
                address=settings.listen_address,
                health_port=settings.health_port,
                metrics_port=settings.metrics_port,
            ) as self.probes:
                ports = f"probes on port {self.probes.health_port}"
                log(_STAGE, f"{ports}, metrics on port {self.probes.metrics_port}")
                return await self._serve(api)
        finally:
            heart.cancel()
            await api.close()

    def stop(self) -> None:
        """Has it end in order."""
        if not self._told_to_stop.is_set():
            log(_STAGE, "told to stop")
            self._told_to_stop.set()

    def vitals(self) -> Vitals:
        """How it is now."""
        working = self._working
        missing = "" if self._rights is None else self._rights.missing
        if working is None:
            return Vitals(self._role, beat_seconds=self._heart.seconds(), missing=missing)
        return Vitals(
            role=self._role,
            beat_seconds=self._heart.seconds(),
            synced=working.controller.synced,
            oldest_queued_seconds=working.controller.oldest_queued_seconds(),
            last_event_seconds=working.controller.last_event_seconds(),
            watches=working.watches.state,
            resync_seconds=self._settings.resync_seconds,
            missing=missing,
            elsewhere=working.territory.elsewhere,
        )

    async def _serve(self, api: KubeApi) -> int:
        if not await self._unless_stopped(require_sessions(api)):
            return 0
        lease = self._settings.lease
        place = (lease.namespace or api.namespace, lease.name) if lease.enabled else None
        self._rights = Rights(api, self._settings.namespaces, lease=place)
        checking = asyncio.create_task(self._rights.run(), name="rights")
        try:
            return await self._work(api)
        finally:
            checking.cancel()

    async def _work(self, api: KubeApi) -> int:
        """Knows what is there, whether it leads or stands by; leads once it may."""
        elector = self._elector(api)
        self._working = working = self._make_parts(api)
        stop = asyncio.create_task(self._told_to_stop.wait(), name="stop")
        loop = asyncio.create_task(working.controller.run(), name="controller")
        watches = asyncio.create_task(working.watches.run(), name="watches")
        claims = asyncio.create_task(_claim(working), name="claims")
        tasks: list[asyncio.Task[Any]] = [stop, loop, watches, claims]
        hold = None
        if elector is None:
            self._lead(working)
        else:
            hold = asyncio.create_task(self._stand_by_and_lead(elector, working), name="leadership")
            tasks.append(hold)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            self._role = Role.ENDING
            lost = hold is not None and hold.done()
            if hold is not None and not working.leads.is_set():
                # Who stands by takes no Lease any more: the next one would wait until it runs out.
                hold.cancel()
                await asyncio.wait({hold})
            await self._end(working, elector, [loop, watches], lost=lost)
        finally:
            self.metrics.leads(False)
            for task in tasks:
                task.cancel()
        return self._exit_code(stop, hold, [loop, watches, claims])

    async def _stand_by_and_lead(self, elector: Elector, working: _Working) -> str:
        """Leads once the Lease is ours; returns why that has ended."""
        self._role = Role.STANDBY
        await elector.acquire()
        self._lead(working)
        return await elector.hold()

    def _lead(self, working: _Working) -> None:
        self._role = Role.LEADING
        self.metrics.leads(True)
        working.leads.set()

    async def _end(
        self,
        working: _Working,
        elector: Elector | None,
        parts: list[asyncio.Task[Any]],
        *,
        lost: bool,
    ) -> None:
        """Ends the parts: turns first, so that nothing is written once the Lease is given up."""
        # Whatever hangs, hangs no longer than this; what it hung in stands in the log then.
        if sys.__stderr__ is not None:
            faulthandler.dump_traceback_later(
                self._settings.exit_seconds, exit=True, file=sys.__stderr__
            )
        drain = min(_DRAIN_SECONDS, self._settings.exit_seconds / 2)
        # Who has lost the Lease has no time left to finish anything: another starts soon.
        await working.controller.stop(0.0 if lost else drain)
        parts[0].cancel()
        if elector is not None and not lost:
            await elector.release()
        working.stop_watching.set()
        await asyncio.wait(parts, timeout=min(_WATCHES_SECONDS, self._settings.exit_seconds / 4))

    def _exit_code(
        self,
        stop: asyncio.Task[Any],
        hold: asyncio.Task[str] | None,
        parts: list[asyncio.Task[Any]],
    ) -> int:
        """Says what ended it.

        Raises:
            CascadeError: What made a part end, where it is one.
        """
        if stop.done() and not stop.cancelled():
            log(_STAGE, "stopped")
            return 0
        if hold is not None and hold.done() and not hold.cancelled():
            log(_STAGE, f"leadership lost: {hold.result()}; ending", level=logging.ERROR)
            return _FAILED
        for part in parts:
            if not part.done() or part.cancelled():
                continue
            error = part.exception()
            if isinstance(error, CascadeError):
                raise error
            text = f"the {part.get_name()} ended: {error!r}"
            logging.getLogger("cascade.operator").error(text, exc_info=error)
        return _FAILED

    def _make_parts(self, api: KubeApi) -> _Working:
        settings = self._settings
        redis = LiveFigures(settings.defaults.redis_url, password=settings.redis_password or None)
        cluster = KubeCluster(
            api,
            defaults=settings.defaults,
            progress_seconds=settings.figures_seconds,
            redis=redis,
            instance=socket.gethostname(),
        )
        territory = territory_of(api, settings)
        leads = asyncio.Event()
        controller = Controller(
            cluster,
            Lister(api, cluster.cache, settings.namespaces),
            metrics=self.metrics,
            figures=redis,
            workers=settings.workers,
            resync_seconds=settings.resync_seconds,
            figures_seconds=settings.figures_seconds,
            serves=territory.serves,
            leads=leads,
        )
        stop = asyncio.Event()
        resyncs: set[asyncio.Task[None]] = set()

        def watch_until_stopped(started: asyncio.Event) -> Coroutine[Any, Any, None]:
            return watch(
                api,
                controller,
                namespaces=settings.namespaces,
                stop=stop,
                ready=started,
                after_start=self._take_signals,
            )

        def resync_soon() -> None:
            task = asyncio.create_task(_resync(controller), name="resync after a gap")
            resyncs.add(task)
            task.add_done_callback(resyncs.discard)

        watches = Watches(watch_until_stopped, lambda: serves_sessions(api), restarted=resync_soon)
        return _Working(controller, watches, territory, leads, stop)

    def _elector(self, api: KubeApi) -> Elector | None:
        lease = self._settings.lease
        if not lease.enabled:
            return None
        store = KubeLeases(api, lease.namespace or api.namespace, lease.name)
        terms = Terms(lease.duration_seconds, lease.renew_seconds, lease.retry_seconds)
        # The random part: a container that was killed and started again is another candidate.
        return Elector(store, f"{socket.gethostname()}_{uuid.uuid4().hex[:12]}", terms)

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> bool:
        """Does the work, unless told to stop meanwhile; returns whether it was done."""
        doing = asyncio.create_task(work)
        stop = asyncio.create_task(self._told_to_stop.wait())
        try:
            await asyncio.wait({doing, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not doing.done():
                return False
            doing.result()
            return True
        finally:
            doing.cancel()
            stop.cancel()
            with suppress(asyncio.CancelledError, CascadeError):
                await doing

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            # Not from a thread, where signals never arrive.
            with suppress(RuntimeError, ValueError):
                loop.add_signal_handler(number, self.stop)

    def _requested(self, verb: str, resource: str, status: int, seconds: float) -> None:
        self.metrics.requested(verb.lower(), resource, status, seconds)


async def _claim(working: _Working) -> None:
    await working.leads.wait()
    await working.territory.run(working.controller.look_again)


async def _resync(controller: Controller) -> None:
    """Finds what was deleted while nobody watched; the next resync would, minutes later."""
    try:
        await controller.resync()
    except ClusterError as error:
        log(_STAGE, f"the resync after a gap failed: {error}", level=logging.WARNING)
