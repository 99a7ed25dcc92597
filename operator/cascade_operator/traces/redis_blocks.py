"""Blocks of bytes in Redis: written in one transaction, read in parts, in one round trip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import redis

from cascade_operator.api.errors import DataError, RunDataGone, ServiceUnavailable
from cascade_operator.api.redis_mends import redis_mend
from cascade_operator.traces.chunk import ChunkError

TTL_SECONDS: Final = 14 * 24 * 3600
"""How long unused traces live; every use renews it."""

# Redis holds a transaction's arguments within a client's query buffer of 1 GiB.
_MAX_WRITE_BYTES: Final = 512 << 20

Span = tuple[str, int, int]
"""A key, the first byte wanted, and the byte behind the last."""


def set_blocks(client: redis.Redis, values: Mapping[str, bytes | memoryview]) -> None:
    """Writes all blocks in one transaction, each with its time to live.

    Raises:
        DataError: They are over 512 MiB together.
        ServiceUnavailable: Redis fails or is full.
    """
    size = sum(map(len, values.values()))
    if size > _MAX_WRITE_BYTES:
        raise DataError(
            f"the traces take {size >> 20} MiB in Redis, over the bound of "
            f"{_MAX_WRITE_BYTES >> 20} MiB",
            mend="Lower spec.traces.maxRecords.",
        )
    with _redis_errors(), client.pipeline(transaction=True) as pipe:
        for key, value in values.items():
            pipe.set(key, memoryview(value), ex=TTL_SECONDS)
        pipe.execute()


def read_spans(client: redis.Redis, spans: Sequence[Span]) -> list[bytes]:
    """Reads parts of keys in one round trip, and renews their time to live.

    Raises:
        RunDataGone: A key is missing, or ends before its part.
        ServiceUnavailable: Redis fails.
    """
    with _redis_errors(), client.pipeline(transaction=False) as pipe:
        for key, low, high in spans:
            pipe.getrange(key, low, high - 1)
        for key in dict.fromkeys(key for key, _, _ in spans):
            pipe.expire(key, TTL_SECONDS)
        blocks: list[bytes] = pipe.execute()[: len(spans)]
    for (key, _, _), block in zip(spans, blocks, strict=True):
        if not block:
            raise gone(key, "it is missing")
    return blocks


@contextmanager
def damage_in(key: str) -> Iterator[None]:
    """Turns what a codec says of a block into the loss of the run's data."""
    try:
        yield
    except ChunkError as error:
        raise gone(key, f"it is damaged: {error}") from None


def gone(key: str, why: str) -> RunDataGone:
    """Makes the error for data that must be written again."""
    return RunDataGone(
        f"the run's traces are gone from Redis: {key}: {why}",
        mend="prepare writes them again; if it happens often, give Redis more memory.",
    )


@contextmanager
def _redis_errors() -> Iterator[None]:
    try:
        yield
    except redis.ResponseError as error:
        if "WRONGTYPE" in str(error):
            raise gone("a key of the run", "it holds another type of value") from None
        raise ServiceUnavailable(f"Redis refuses: {error}", mend=redis_mend(error)) from None
    except redis.RedisError as error:
        raise ServiceUnavailable(
            f"Redis does not answer: {error}", mend=redis_mend(error)
        ) from None
