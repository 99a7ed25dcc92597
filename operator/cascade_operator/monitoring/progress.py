"""Stage 60: a Job's live figures, published to Redis about once a second."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from redis.exceptions import RedisError

from cascade_operator.api.records import CallFigures, Progress
from cascade_operator.api.status import SpentStatus

_LOG = logging.getLogger(__name__)
_TTL_SECONDS: Final = 3600


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
    ) -> None:
        self._client = client
        self._key = key
        self._name = name
        self._calls = calls
        self._memory = memory
        self._spent = spent
        self._interval = interval
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
        if publish:
            self._publish()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=2.0)
        if kind is None:
            self._publish()

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            self._publish()

    def _publish(self) -> None:
        with self._lock:
            figures = dict(self._figures)
        try:
            used, limit = self._memory()
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
