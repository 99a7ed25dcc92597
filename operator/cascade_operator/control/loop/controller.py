"""The control loop of a cluster (80): events fill the queue, turns empty it, resyncs mend both."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from cascade_operator.api.status import Phase
from cascade_operator.control.domain.model import PROGRESS_SECONDS
from cascade_operator.control.kube.child_watch import ChildWatch
from cascade_operator.control.kube.cluster import KubeCluster
from cascade_operator.control.kube.errors import BusyError, UnreachableError
from cascade_operator.control.kube.listing import Lister, Resynced
from cascade_operator.control.kube.live_figures import LiveFigures
from cascade_operator.control.kube.port import (
    ClusterError,
    ConflictError,
    NotFoundError,
    RefusedError,
    SessionKey,
)
from cascade_operator.control.kube.resources import JOBS, PODS, SESSIONS
from cascade_operator.control.kube.sessions import SessionSummary
from cascade_operator.control.loop.live import read_live_figures
from cascade_operator.control.loop.lull import Lull
from cascade_operator.control.loop.queue import MOST_BACKOFF, WorkQueue
from cascade_operator.control.loop.reconcile import reconcile_once
from cascade_operator.control.telemetry.metrics import OperatorMetrics

_LOG = logging.getLogger(__name__)

WORKERS: Final = 16
RESYNC_SECONDS: Final = 300.0
GAP_SECONDS: Final = 2.0
"""After the last session that kopf has listed, until what is there is compared; a list of thousands
comes in pages."""

_UNSEEN: Final = ("", str(Phase.PENDING))
_RESULTS: Final[Mapping[type[ClusterError], str]] = {
    BusyError: "busy",
    ConflictError: "conflict",
    NotFoundError: "gone",
    RefusedError: "refused",
    UnreachableError: "unreachable",
}

_MOST_AWAY: Final = 5.0
_FIRST_LIST_RETRY: Final = 1.0
_MOST_LIST_RETRY: Final = 30.0


class Controller:
    """Reconciles every session that the watches tell of. Used from one event loop.

    Attributes:
        synced: Whether everything was listed once; no plan is made before.
    """

    def __init__(
        self,
        cluster: KubeCluster,
        lister: Lister,
        *,
        metrics: OperatorMetrics,
        figures: LiveFigures | None = None,
        workers: int = WORKERS,
        resync_seconds: float = RESYNC_SECONDS,
        figures_seconds: float = PROGRESS_SECONDS,
        serves: Callable[[str], bool] = lambda _: True,
        leads: asyncio.Event | None = None,
    ) -> None:
        """Starts nothing yet.

        Args:
            cluster: The port.
            lister: Fills the cluster's cache.
            metrics: Is told of each turn and event.
            figures: Where live figures are read; None where there is no Redis.
            workers: Sessions that have their turn at once.
            resync_seconds: About how often what the watches told is compared with what is there.
            figures_seconds: How often live figures are read.
            serves: Whether the sessions of a namespace are ours to move on, asked at each turn.
            leads: Is set once turns may be taken. Until then it knows what is there and does
                nothing; None where nobody else could be at work.
        """
        self.synced = False
        self._cluster = cluster
        self._lister = lister
        self._metrics = metrics
        self._figures = figures
        self._resync_seconds = resync_seconds
        self._figures_seconds = figures_seconds
        self._serves = serves
        self._leads = _at_once() if leads is None else leads
        self._queue: WorkQueue[SessionKey] = WorkQueue()
        self._slots = asyncio.Semaphore(workers)
        self._turns: set[asyncio.Task[None]] = set()
        self._last_sign = time.monotonic()
        self._listed = Lull(GAP_SECONDS)
        self._stopping = False
        metrics.observe_queue(self.queue_depth, self.oldest_queued_seconds)
        metrics.observe_phases(self._session_phases, self._group_phases)

    # What the watches call.

    def session_event(self, kind: str | None, raw: Mapping[str, Any]) -> None:
        """Takes an event of a TrainingSession: ADDED, MODIFIED, DELETED, or None of a list."""
        self._seen("trainingsessions", kind, self._cluster.cache.session_event(kind, raw))

    def job_event(self, kind: str | None, raw: Mapping[str, Any]) -> None:
        """Takes an event of a Job."""
        self._seen("jobs", kind, self._cluster.cache.job_event(kind, raw))

    def pod_event(self, kind: str | None, raw: Mapping[str, Any]) -> None:
        """Takes an event of a pod."""
        self._seen("pods", kind, self._cluster.cache.pod_event(kind, raw))

    # What the runtime asks.

    def queue_depth(self) -> int:
        """Sessions that are due."""
        return len(self._queue)

    def oldest_queued_seconds(self) -> float:
        """For how long the first of them has been due."""
        return self._queue.oldest_seconds()

    def last_event_seconds(self) -> float:
        """Seconds since a watch or a list last told anything."""
        return time.monotonic() - self._last_sign

    async def run(self) -> None:
        """Lists everything, then works until it is cancelled, from when it leads."""
        await self._fill()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._work(), name="turns")
            tasks.create_task(self._resync_for_ever(), name="resync")
            tasks.create_task(self._mend_gaps_for_ever(), name="gaps")
            for watch in self._child_watches():
                tasks.create_task(watch.run(), name="watch")
            if self._figures is not None:
                tasks.create_task(self._read_figures_for_ever(self._figures), name="figures")

    async def stop(self, seconds: float) -> None:
        """Begins no turn any more, and waits for those under way.

        A turn that is cut short does no harm: the next one sees what it did.
        """
        self._stopping = True
        if self._turns:
            _, late = await asyncio.wait(self._turns, timeout=seconds)
            for turn in late:
                turn.cancel()
        if self._figures is not None:
            await self._figures.close()

    def _seen(self, kind: str, event: str | None, key: SessionKey | None) -> None:
        self._heard()
        self._metrics.watched(kind, event)
        if event is None:
            self._listed.sign()
        if key is not None and self._leads.is_set():
            self._queue.notice(key)

    def _child_watches(self) -> list[ChildWatch]:
        return [
            ChildWatch(
                self._lister,
                resource,
                scope,
                told=told,
                alive=self._heard,
                listed_anew=self._take_note,
            )
            for resource, told in ((JOBS, self.job_event), (PODS, self.pod_event))
            for scope in self._lister.scopes
        ]

    def _heard(self) -> None:
        self._last_sign = time.monotonic()

    async def _fill(self) -> None:
        await _until_done(self._lister.fill)
        self.synced = True
        self._heard()

    async def _begin(self) -> None:
        """Waits until it leads. What the watches told in a long wait is compared once."""
        if not self._leads.is_set():
            await self._leads.wait()
            # A watch may have fallen silent unnoticed; who led before has written until now.
            await _until_done(self.resync)
        self.look_again()
        cache = self._cluster.cache
        _LOG.info("serving %d sessions with %d Jobs", len(cache.sessions), len(cache.jobs))

    async def _work(self) -> None:
        await self._begin()
        while not self._stopping:
            await self._slots.acquire()
            key, waited = await self._queue.get()
            self._metrics.waited(waited)
            turn = asyncio.create_task(self._turn(key), name=f"turn of {key.namespace}/{key.name}")
            self._turns.add(turn)
            turn.add_done_callback(self._turn_done)

    def _turn_done(self, turn: asyncio.Task[None]) -> None:
        self._turns.discard(turn)
        self._slots.release()

    async def _turn(self, key: SessionKey) -> None:
        began = time.monotonic()
        result = "cancelled"
        try:
            result = await self._reconcile(key)
        finally:
            self._queue.done(key)
            self._metrics.reconciled(result, time.monotonic() - began)

    async def _reconcile(self, key: SessionKey) -> str:
        """Takes one step; returns what came of it, in one word."""
        if not self._serves(key.namespace):
            self._queue.succeeded(key)
            return "elsewhere"
        try:
            wait = await reconcile_once(
                self._cluster, key, datetime.now(UTC), written=self._metrics.status_written
            )
        except ClusterError as error:
            self._again(key, error)
            return _RESULTS.get(type(error), "failed")
        except asyncio.CancelledError:
            raise
        except BaseException:  # noqa: BLE001 - one session must not take all others down with it
            delay = self._queue.retry(key)
            _LOG.exception("%s: a turn broke, again in %.1f s", _shown(key), delay)
            return "broken"
        self._queue.succeeded(key)
        if wait is not None:
            self._queue.add(key, wait)
        return "ok"

    def _again(self, key: SessionKey, error: ClusterError) -> None:
        """Has a turn that failed made again. A conflict is no failure: the newer state follows."""
        at_least = (error.retry_after or 0.0) if isinstance(error, BusyError) else 0.0
        # A server that is away comes back for all sessions at once, and at any moment.
        most = _MOST_AWAY if isinstance(error, UnreachableError) else MOST_BACKOFF
        delay = self._queue.retry(key, at_least=at_least, most=most)
        level = logging.DEBUG if isinstance(error, ConflictError) else logging.WARNING
        _LOG.log(level, "%s: again in %.1f s: %s", _shown(key), delay, error)

    async def _resync_for_ever(self) -> None:
        while True:
            # Spread, so that many operators of one API server do not list at the same moment.
            await asyncio.sleep(self._resync_seconds * random.uniform(0.8, 1.2))
            try:
                await self.resync()
            except ClusterError as error:
                _LOG.warning("the resync failed: %s", error)

    async def _mend_gaps_for_ever(self) -> None:
        """Compares sessions once kopf has listed them anew, as it does after a 410.

        Which were deleted meanwhile is in no list, and no event will ever tell of it.
        """
        while True:
            await self._listed.wait()
            try:
                for scope in self._lister.scopes:
                    self._take_note(await self._lister.compare(SESSIONS, scope))
            except ClusterError as error:
                _LOG.warning("the list of sessions after a gap failed: %s", error)

    def look_again(self) -> None:
        """Has every session's turn come, also where nothing has changed; none before it leads."""
        if not self._leads.is_set():
            return
        # Those that nobody has seen yet go first: someone waits for a first word of them.
        sessions = self._cluster.cache.sessions
        for session in sorted(sessions, key=lambda one: one.phase not in _UNSEEN):
            self._queue.add(session.key)

    async def resync(self) -> None:
        """Compares the cache with what is there, and looks again at what differs.

        Raises:
            ClusterError: The API server failed.
        """
        found = await self._lister.resync()
        self._cluster.tidy()
        self._take_note(found)

    def _take_note(self, found: Resynced) -> None:
        self._heard()
        for kind, number in found.pruned.items():
            self._metrics.pruned(kind, number)
            _LOG.warning("%d %s were gone whose deletion no watch had told", number, kind)
        if self._leads.is_set():
            for key in found.keys:
                self._queue.add(key)

    async def _read_figures_for_ever(self, figures: LiveFigures) -> None:
        await self._leads.wait()
        while True:
            await asyncio.sleep(self._figures_seconds)
            for key in await read_live_figures(self._cluster, figures):
                self._queue.add(key)

    def _group_phases(self) -> Counter[str]:
        phases: Counter[str] = Counter()
        for session in self._led_sessions():
            phases.update(session.groups)
        return phases

    def _session_phases(self) -> Counter[str]:
        return Counter(session.phase for session in self._led_sessions() if session.phase)

    def _led_sessions(self) -> Iterable[SessionSummary]:
        """The sessions; none before it leads, or the sum over replicas would count them twice."""
        return self._cluster.cache.sessions if self._leads.is_set() else ()


def _at_once() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


async def _until_done(listing: Callable[[], Awaitable[object]]) -> None:
    """Makes the lists without which no plan may be made, again while the API server fails."""
    delay = _FIRST_LIST_RETRY
    while True:
        try:
            await listing()
        except ClusterError as error:
            _LOG.warning("the list before the first turn failed, again in %.0f s: %s", delay, error)
        else:
            return
        await asyncio.sleep(delay)
        delay = min(delay * 2, _MOST_LIST_RETRY)


def _shown(key: SessionKey) -> str:
    return f"{key.namespace}/{key.name}"
