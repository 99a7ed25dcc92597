"""A Job's call figures over all of its attempts, kept in Redis beside the run's counters.

What a killed attempt asked of a server was asked: its calls belong to the Job's figures as they
belong to the run's budget. So each call is added in the round trip that publishes its answer, and
what took no round trip (answers found in the process) about once a second.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any, Final

import redis

from cascade_operator.api.calls import CallFigures
from cascade_operator.training.calls.meter import CallMeter

_LOG = logging.getLogger(__name__)

FIGURES_TTL: Final = 14 * 24 * 3600
"""Seconds; renewed by each call, as all of a run's keys are."""

_NAMES: Final = tuple(CallFigures.model_fields)
_MOST: Final = 10**15


class JobFigures:
    """What a Job called, its earlier attempts included. Safe to use from several threads.

    Args:
        meter: Counts this process's calls.
        client: Redis (bytes in and out), or None for this process alone.
        key: Where the Job's figures stand.
    """

    def __init__(self, meter: CallMeter, client: Any | None = None, key: str = "") -> None:
        self.key = key
        self._meter = meter
        self._client = client if key else None
        self._earlier = CallFigures()
        self._kept = dict.fromkeys(_NAMES, 0)
        self._lock = threading.Lock()

    def restore(self) -> None:
        """Takes over what earlier attempts counted; without Redis it is this attempt alone."""
        if self._client is None:
            return
        try:
            found: Mapping[bytes, bytes] = self._client.hgetall(self.key)
        except redis.RedisError as error:
            _LOG.debug("no call figures of earlier attempts: %s", error)
            return
        self._earlier = CallFigures(**{name: _count(found.get(name.encode())) for name in _NAMES})

    def figures(self) -> CallFigures:
        """Returns the counts so far, over all attempts."""
        return self._earlier.plus(self._meter.figures())

    def take(self) -> dict[str, int]:
        """Returns what was counted since the last time, by field, for Redis to add."""
        if self._client is None:
            return {}
        now = self._meter.figures()
        with self._lock:
            more = {
                name: by for name in _NAMES if (by := getattr(now, name) - self._kept[name]) > 0
            }
            for name, by in more.items():
                self._kept[name] += by
        return more

    def give_back(self, counts: Mapping[str, int]) -> None:
        """Takes back what Redis did not add; it goes with the next."""
        with self._lock:
            for name, by in counts.items():
                self._kept[name] -= by

    def keep(self) -> CallFigures:
        """Adds in Redis what is not there yet; returns the counts so far. Failures are ignored."""
        counts = self.take()
        if counts and self._client is not None:
            try:
                pipeline = self._client.pipeline(transaction=True)
                for name, by in counts.items():
                    pipeline.hincrby(self.key, name, by)
                pipeline.expire(self.key, FIGURES_TTL)
                pipeline.execute()
            except redis.RedisError as error:
                self.give_back(counts)
                _LOG.debug("call figures wait for the next time: %s", error)
        return self.figures()


def _count(value: bytes | None) -> int:
    try:
        return min(_MOST, max(0, int(value or 0)))
    except ValueError:
        return 0
