"""Commands for Redis whose large values go to the socket as they lie, without being copied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from redis.connection import HiredisRespSerializer, PythonRespSerializer
from redis.utils import HIREDIS_AVAILABLE

_CUTOFF: Final = 6000
"""Bytes from which a value is a part of its own; redis-py's connections join what is smaller."""


class ViewPacker:
    """Packs as redis-py does by default, but leaves a ``memoryview`` where it is.

    hiredis copies each command twice; for chunks of a megabyte that is most of what a write costs
    the client. Commands without a view are packed by it all the same.
    """

    def __init__(self) -> None:
        self._plain = PythonRespSerializer(_CUTOFF, _encode)
        self._quick = HiredisRespSerializer() if HIREDIS_AVAILABLE else self._plain

    def pack(self, *args: Any) -> Sequence[bytes | memoryview]:
        """Returns the parts of one command, for a connection to send in order."""
        viewed = any(isinstance(value, memoryview) for value in args)
        parts: Sequence[bytes | memoryview] = (self._plain if viewed else self._quick).pack(*args)
        return parts


def _encode(value: object) -> bytes | memoryview:
    if isinstance(value, bytes | memoryview):
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError(f"a command for Redis holds {type(value).__name__}")
    return (value if isinstance(value, str) else repr(value)).encode()
