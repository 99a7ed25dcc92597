"""Live figures of running Jobs (61), read from Redis: they may be missing, never in the way."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import redis.asyncio
from pydantic import ValidationError
from redis.exceptions import RedisError

from cascade_operator.api.keys import RunKeys
from cascade_operator.api.published import MAX_PUBLISHED_BYTES
from cascade_operator.api.records import Progress
from cascade_operator.api.status import TrainingSessionStatus

_LOG = logging.getLogger(__name__)
_STAGES: Final = ("prepare", "archive")
_LARGEST: Final = 16 * 1024
_SECONDS: Final = 2.0
_REST_SECONDS: Final = 10.0  # after a failure, so that a server that hangs holds up nothing
_NOTHING: Final[Mapping[str, Progress]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class LiveRun:
    """A run whose Jobs may publish figures.

    Attributes:
        uid: The session's uid.
        number: The run's number.
        names: Stages and group keys.
    """

    uid: str
    number: int
    names: tuple[str, ...]

    @classmethod
    def of(cls, uid: str, status: TrainingSessionStatus) -> LiveRun | None:
        """The session's run while it has not ended."""
        if status.run is None or status.run.completion_time is not None:
            return None
        return cls(uid, status.run.number, (*_STAGES, *(group.name for group in status.groups)))


class LiveFigures:
    """Reads from one Redis."""

    def __init__(self, url: str, *, password: str | None = None) -> None:
        """Connects on first use.

        Args:
            url: A ``redis://``, ``rediss://`` or ``unix://`` URL.
            password: Where the URL holds none and the server wants one.
        """
        self._rest_until = 0.0
        self._redis: redis.asyncio.Redis = redis.asyncio.Redis.from_url(
            url,
            password=password,
            socket_timeout=_SECONDS,
            socket_connect_timeout=_SECONDS,
        )

    async def read(self, runs: Sequence[LiveRun]) -> Mapping[str, Mapping[str, Progress]]:
        """Reads the figures of all runs in one request.

        Returns:
            By session uid, then by stage or group key; empty where Redis does not answer.
        """
        keys = [
            key for run in runs for key in map(RunKeys(run.uid, run.number).progress, run.names)
        ]
        if not keys or time.monotonic() < self._rest_until:
            return {}
        try:
            values = await self._values(keys)
        except (RedisError, OSError) as error:
            _LOG.debug("no live figures: %s", error)
            self._rest_until = time.monotonic() + _REST_SECONDS
            return {}
        rest = iter(values)
        return {run.uid: _read(dict(zip(run.names, rest, strict=False))) for run in runs}

    async def _values(self, keys: Sequence[str]) -> list[Any]:
        """Reads what the keys hold, one byte over the most at most, in one round trip.

        A worker may have written anything there: what is no string is an error of its own key.
        """
        async with self._redis.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.getrange(key, 0, _LARGEST)
            found: list[Any] = await pipeline.execute(raise_on_error=False)
        return found

    async def read_program(self, key: str) -> bytes | None:
        """Reads a program to be published, one byte over the most at most; None without one.

        Args:
            key: ``RunKeys(uid, run).program()``.

        Raises:
            RedisError: The server does not answer.
            OSError: It cannot be reached.
        """
        found: Any = await self._redis.getrange(key, 0, MAX_PUBLISHED_BYTES)
        return bytes(found) or None

    async def close(self) -> None:
        """Closes the connection."""
        await self._redis.aclose()


def _read(values: Mapping[str, Any]) -> Mapping[str, Progress]:
    found = {}
    for name, value in values.items():
        if not isinstance(value, bytes) or not 0 < len(value) <= _LARGEST:
            continue
        try:
            found[name] = Progress.model_validate_json(value)
        except ValidationError:
            _LOG.debug("live figures of %s are not readable", name)
    return MappingProxyType(found) if found else _NOTHING
