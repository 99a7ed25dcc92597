"""Reads the live figures that running Jobs publish in Redis."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import redis.asyncio
from pydantic import ValidationError
from redis.exceptions import RedisError

from cascade_operator.api.keys import RunKeys
from cascade_operator.api.records import Progress
from cascade_operator.api.status import TrainingSessionStatus

_LOG = logging.getLogger(__name__)
_STAGES: Final = ("prepare", "archive")
_LARGEST: Final = 16 * 1024
_SECONDS: Final = 2.0
_REST_SECONDS: Final = 10.0  # after a failure, so that a server that hangs holds up no plan
_NOTHING: Final[Mapping[str, Progress]] = MappingProxyType({})


class ProgressReader:
    """Live figures of one session's current run; what cannot be read is missing, never an error."""

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

    async def read(self, uid: str, status: TrainingSessionStatus) -> Mapping[str, Progress]:
        """Reads the figures by stage name or group key, in one request."""
        if status.run is None or time.monotonic() < self._rest_until:
            return _NOTHING
        names = [*_STAGES, *(group.name for group in status.groups)]
        keys = RunKeys(uid, status.run.number)
        try:
            values = await self._redis.mget([keys.progress(name) for name in names])
        except (RedisError, OSError) as error:
            _LOG.debug("no live figures: %s", error)
            self._rest_until = time.monotonic() + _REST_SECONDS
            return _NOTHING
        found = {}
        for name, value in zip(names, values, strict=True):
            if value is None or len(value) > _LARGEST:
                continue
            try:
                found[name] = Progress.model_validate_json(value)
            except ValidationError:
                _LOG.debug("live figures of %s are not readable", name)
        return found

    async def close(self) -> None:
        """Closes the connection."""
        await self._redis.aclose()
