"""Stage 49: checkpoints in two slots, so that a torn or lost write costs one trial at most."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from redis.exceptions import RedisError

from cascade_operator.api.canonical import strict_json
from cascade_operator.api.errors import ServiceUnavailable
from cascade_operator.api.redis_mends import redis_mend

_LOG = logging.getLogger(__name__)

VERSION = 1
TTL_SECONDS = 14 * 24 * 3600
MAX_BYTES = 64 * 1024 * 1024
SLOTS = ("a", "b")


class CheckpointStore(Protocol):
    """Keeps the latest state of one search."""

    def load(self) -> dict[str, Any] | None:
        """Returns the latest intact state, None when there is none.

        Raises:
            ServiceUnavailable: The store cannot be read.
        """
        ...

    def save(self, state: Mapping[str, Any]) -> None:
        """Saves a state, whole or not at all.

        Raises:
            ServiceUnavailable: The store refused the write.
        """
        ...


class BytesStore(Protocol):
    """The part of a Redis client this module uses (``decode_responses`` off)."""

    def getex(self, name: str, /, *, ex: int) -> Any:
        """Returns a key's bytes or None, and lets it expire ``ex`` seconds from now."""
        ...

    def set(self, name: str, value: bytes, /, *, ex: int) -> Any:
        """Sets a key that expires after ``ex`` seconds."""
        ...


@dataclass(frozen=True, slots=True)
class Slot:
    """One decoded slot: how often this checkpoint had been written, and the state."""

    serial: int
    state: dict[str, Any]


def encode(serial: int, state: Mapping[str, Any]) -> bytes:
    """Returns the bytes of one slot: JSON with a version, a serial number and a digest."""
    # In the order of its keys: a state holds demonstrations, and prompts show their keys in order.
    body = json.dumps(state, separators=(",", ":"), allow_nan=False)
    envelope = {"version": VERSION, "serial": serial, "digest": _digest(serial, body), "body": body}
    return json.dumps(envelope, separators=(",", ":")).encode()


def decode(data: bytes) -> Slot:
    """Reads one slot.

    Raises:
        ValueError: It is cut, changed, too large or of another version.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"it has {len(data)} bytes, more than {MAX_BYTES}")
    try:
        envelope = json.loads(data)
        version, serial, body = envelope["version"], envelope["serial"], envelope["body"]
        digest = envelope["digest"]
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError("it is not a checkpoint") from error
    if version != VERSION:
        raise ValueError(f"it has version {version!r}, this program reads {VERSION}")
    if not isinstance(serial, int) or not isinstance(body, str) or digest != _digest(serial, body):
        raise ValueError("its digest does not match")
    state = _state(body)
    if not isinstance(state, dict):
        raise ValueError("its body is no object")
    return Slot(serial, state)


class RedisCheckpoints:
    """A checkpoint in two Redis keys, ``<key>:a`` and ``<key>:b``, written in turn.

    A write replaces the older slot, so whatever happens to it the newer one stands.
    """

    def __init__(self, redis: BytesStore, key: str, *, ttl_seconds: int = TTL_SECONDS) -> None:
        self._redis = redis
        self._keys = tuple(f"{key}:{slot}" for slot in SLOTS)
        self._ttl = ttl_seconds
        self._serial: int | None = None

    def load(self) -> dict[str, Any] | None:
        """See CheckpointStore. A broken slot is logged and the other one is taken."""
        slots = [slot for key in self._keys if (slot := self._read(key)) is not None]
        latest = max(slots, key=lambda slot: slot.serial, default=None)
        self._serial = 0 if latest is None else latest.serial
        return None if latest is None else latest.state

    def save(self, state: Mapping[str, Any]) -> None:
        """See CheckpointStore."""
        if self._serial is None:  # never overwrite the newer slot of an earlier attempt
            self.load()
        serial = (self._serial or 0) + 1
        try:
            key = self._keys[serial % len(self._keys)]
            self._redis.set(key, encode(serial, state), ex=self._ttl)
        except RedisError as error:
            raise ServiceUnavailable(
                f"Redis refused the checkpoint: {error}", mend=redis_mend(error)
            ) from error
        self._serial = serial

    def _read(self, key: str) -> Slot | None:
        try:
            data = self._redis.getex(key, ex=self._ttl)
        except RedisError as error:
            raise ServiceUnavailable(
                f"Redis cannot be read: {error}", mend=redis_mend(error)
            ) from error
        if data is None:
            return None
        try:
            return decode(bytes(data))
        except ValueError as error:
            _LOG.warning("checkpoint slot %s is left out: %s", key, error)
            return None


def _state(body: str) -> Any:
    try:
        return strict_json(body)
    except RecursionError as error:
        raise ValueError("its body nests too deep") from error


def _digest(serial: int, body: str) -> str:
    return hashlib.sha256(f"{VERSION}:{serial}:{body}".encode()).hexdigest()
