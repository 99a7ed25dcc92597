"""Entries of the call cache: how they look in Redis, and those a process keeps itself."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

import zstandard

MAX_STORED: Final = 64 * 1024
"""Bytes of a compressed entry; a larger one stays in the process that computed it."""
MAX_VALUE: Final = 8 * 1024 * 1024
"""Bytes an entry may unfold to."""


class LocalEntries:
    """The least recently used entries of this process, bounded by their bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._entries: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes | None:
        """Returns an entry, which is then the latest used."""
        with self._lock:
            value = self._entries.get(key)
            if value is not None:
                self._entries.move_to_end(key)
            return value

    def put(self, key: str, value: bytes) -> None:
        """Keeps an entry, and drops the longest unused ones beyond the limit."""
        with self._lock:
            old = self._entries.pop(key, None)
            self._held += len(value) + len(key) - (len(old) + len(key) if old is not None else 0)
            self._entries[key] = value
            while self._held > self._limit:
                gone, dropped = self._entries.popitem(last=False)
                self._held -= len(dropped) + len(gone)


def packed(value: bytes) -> bytes:
    """Returns the form stored in Redis: a zstd frame with a checksum."""
    return zstandard.ZstdCompressor(level=3, write_checksum=True).compress(value)


def unpacked(data: bytes) -> bytes | None:
    """Returns the value, or None for what is no entry of ours."""
    try:
        if not 0 <= zstandard.frame_content_size(data) <= MAX_VALUE:
            return None
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=MAX_VALUE)
    except (zstandard.ZstdError, TypeError):
        return None
