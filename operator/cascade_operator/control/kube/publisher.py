"""Publishing a program (58): read from the operator's own Redis, written where it may be."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from redis.exceptions import RedisError

from cascade_operator.api.keys import RunKeys
from cascade_operator.control.domain.model import Publication
from cascade_operator.control.domain.policies.publishing import PublishReason
from cascade_operator.control.kube.live_figures import LiveFigures
from cascade_operator.control.kube.port import RefusedError
from cascade_operator.control.manifests.published import (
    PublishRequest,
    build_published,
    is_published,
    may_replace,
)

_TAKE_IT: Final = "take 58_program.json out of the run's last archive: `cascade archive program`"
_NO_REDIS: Final = "the operator has no Redis (--redis-url)"


class ConfigMapStore(Protocol):
    """Where published ConfigMaps are."""

    async def read(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """Reads one; None where there is none."""
        ...

    async def write(self, manifest: Mapping[str, Any], existing: Mapping[str, Any] | None) -> None:
        """Creates one, or replaces the one that was read.

        Raises:
            RefusedError: It is not accepted.
            ClusterError: It failed in a way that a later try may not, or it has changed since.
        """
        ...


class Publisher:
    """Publishes programs into a store."""

    def __init__(self, store: ConfigMapStore, redis: LiveFigures | None) -> None:
        """Publishes nothing yet.

        Args:
            store: Where ConfigMaps are.
            redis: Where programs are; None where there is no Redis.
        """
        self._store = store
        self._redis = redis

    async def publish(self, request: PublishRequest) -> Publication:
        """Publishes a program; says what came of it.

        Raises:
            ClusterError: The store failed; trying again does no harm.
        """
        reason, message = await self._publish(request)
        return Publication(request, reason, datetime.now(UTC), message)

    async def _publish(self, request: PublishRequest) -> tuple[PublishReason, str]:
        existing = await self._store.read(request.namespace, request.config_map)
        if existing is not None:
            if refusal := may_replace(existing, request):
                return PublishReason.CONFLICT, refusal
            if is_published(existing, request):
                return PublishReason.PUBLISHED, ""
        program, why = await self._program(request)
        if program is None:
            return PublishReason.UNAVAILABLE, f"{why}; {_TAKE_IT}"
        try:
            await self._store.write(build_published(request, program), existing)
        except ValueError as error:
            return PublishReason.UNAVAILABLE, f"what Redis holds is damaged: {error}; {_TAKE_IT}"
        except RefusedError as error:
            return PublishReason.UNAVAILABLE, f"the ConfigMap is refused: {error}; {_TAKE_IT}"
        return PublishReason.PUBLISHED, ""

    async def _program(self, request: PublishRequest) -> tuple[bytes | None, str]:
        if self._redis is None:
            return None, _NO_REDIS
        try:
            found = await self._redis.read_program(RunKeys(request.uid, request.run).program())
        except (RedisError, OSError) as error:
            return None, f"Redis does not answer ({error})"
        return found, "the program is no longer in Redis"
