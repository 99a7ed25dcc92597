"""Stage 60: a Job's live figures, published to Redis about once a second, and its timeline."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Final, Self

from redis.exceptions import RedisError

from cascade_operator.api.calls import CallFigures
from cascade_operator.api.errors import CascadeError
from cascade_operator.api.records import Progress
from cascade_operator.api.status import SpentStatus
from cascade_operator.monitoring.stage_log import watching_stages
from cascade_operator.monitoring.timeline import FINISHED, JobTimeline

_LOG = logging.getLogger(__name__)
_TTL_SECONDS: Final = 3600
_LAST_SECONDS: Final = 2.0
_TIMELINE_TTL_SECONDS: Final = 14 * 24 * 3600
_TIMELINE_EVERY: Final = 5
"""Records to one writing of the timeline: what a killed Job may lose of it, in seconds."""


class ProgressPublisher:
    """Publishes one Job's figures in the background; a failure to do so is never the Job's.

    Args:
        client: Redis.
        key: Where the record goes.
        name: ``prepare``, ``archive`` or a group's key.
        calls: Gives the call figures so far.
        memory: Gives the working set and its limit, in bytes.
        spent: Gives the run's budget counters; None where they cannot be read.
        interval: Seconds between two records.
        timeline: Keeps the Job's stages and memory; None for none.
        timeline_key: The hash of the run's timelines.
    """

    def __init__(
        self,
        client: Any,
        key: str,
        name: str,
        *,
        calls: Callable[[], CallFigures] = CallFigures,
        memory: Callable[[], tuple[int, int]] = lambda: (0, 0),
        spent: Callable[[], SpentStatus | None] = lambda: None,
        interval: float = 1.0,
        timeline: JobTimeline | None = None,
        timeline_key: str = "",
    ) -> None:
        self._client = client
        self._key = key
        self._name = name
        self._calls = calls
        self._memory = memory
        self._spent = spent
        self._interval = interval
        self._timeline = timeline
        self._timeline_key = timeline_key
        self._watching = ExitStack()
        self._lock = threading.Lock()
        self._figures: dict[str, Any] = {"stage": 0}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def update(self, *, publish: bool = False, **figures: Any) -> None:
        """Takes over figures: ``stage``, ``done``, ``total``, ``note``, ``baseline``, ``score``.

        Args:
            publish: Do not wait for the next round.
            **figures: Fields of Progress.
        """
        with self._lock:
            self._figures.update(figures)
        if self._timeline is not None and "stage" in figures:
            self._timeline.moved_to(figures["stage"])
        if publish:
            self._publish()

    def __enter__(self) -> Self:
        if self._timeline is not None:
            self._watching.enter_context(watching_stages(self._timeline))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        # The last record is the thread's, so that a server that hangs holds no Job that leaves.
        self._thread.join(timeout=_LAST_SECONDS)
        self._watching.close()
        if self._timeline is not None:
            reason = error.reason if isinstance(error, CascadeError) else "Error"
            self._timeline.ended(FINISHED if kind is None else reason)
            self.publish_timeline()

    def publish_timeline(self) -> None:
        """Writes the timeline so far; a killed Job leaves the last one that was written."""
        if self._timeline is None:
            return
        try:
            text = json.dumps(self._timeline.to_json(), separators=(",", ":"))
            with self._client.pipeline() as pipe:
                pipe.hset(self._timeline_key, self._timeline.field, text)
                pipe.expire(self._timeline_key, _TIMELINE_TTL_SECONDS)
                pipe.execute()
        except (RedisError, OSError, ValueError) as error:
            _LOG.debug("no timeline: %s", error)

    def _run(self) -> None:
        rounds = 0
        self.publish_timeline()  # a Job that is killed in its first second was there, too
        while not self._stop.wait(self._interval):
            self._publish()
            rounds += 1
            if rounds % _TIMELINE_EVERY == 0:
                self.publish_timeline()
        self._publish()

    def _publish(self) -> None:
        with self._lock:
            figures = dict(self._figures)
        try:
            used, limit = self._memory()
            if self._timeline is not None:
                self._timeline.read_memory(used, limit)
            record = Progress(
                name=self._name,
                calls=self._calls(),
                spent=self._spent(),
                memory=used,
                memory_limit=limit,
                updated=time.time(),
                **figures,
            )
            text = record.model_dump_json(by_alias=True, exclude_none=True)
            self._client.set(self._key, text, ex=_TTL_SECONDS)
        except (RedisError, OSError, ValueError) as error:
            # A server that is away, a reading that failed, a figure out of its bounds.
            _LOG.debug("no live figures: %s", error)
