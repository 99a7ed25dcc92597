"""Keeps embeddings on a volume, so that each text is embedded once, over all runs.

Two files lie in one folder a recipe: ``keys.bin`` has a row of 36 bytes a text (sha256 of the text,
crc32 of its vector), ``vectors.f32`` its vector. Both only grow. A row counts once it is whole in
both files, and a killed writer leaves at most a torn last row, which the next one cuts off. The
writers' lock is held only while rows are appended.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from cascade_operator.traces.embedding import BATCH, TextEmbedder, Vectors

_LOG = logging.getLogger("cascade")

_KEY_BYTES: Final = 32
_ROW_BYTES: Final = _KEY_BYTES + 4
_FORMAT: Final = "v1"


class CachedEmbedder:
    """An embedder that asks another one only for texts it has not seen.

    Safe to use from several threads, and by several processes on one folder.

    Attributes:
        hits: Texts found.
        misses: Texts that had to be embedded.
        refused_writes: Batches that could not be kept (a full or read-only volume). They cost
            time in the next run, nothing else, so they are counted and not raised.
    """

    def __init__(self, inner: TextEmbedder, folder: Path, *, max_rows: int = 500_000) -> None:
        """Opens the cache of the inner embedder's recipe.

        Args:
            inner: What embeds the rest.
            folder: Where caches lie; made when it is missing.
            max_rows: Where the cache stops to grow (1 KiB a row at 256 dimensions).
        """
        self._inner = inner
        self._folder = folder / _folder_name(inner)
        self._keys_path = self._folder / "keys.bin"
        self._vectors_path = self._folder / "vectors.f32"
        self._width = 4 * inner.dimensions
        self._max_rows = max_rows
        self._rows: dict[bytes, tuple[int, int]] = {}
        self._known = 0
        self._vectors: Vectors | None = None
        self._lock = threading.Lock()
        self.hits = self.misses = self.refused_writes = 0

    @property
    def recipe(self) -> str:
        """The inner embedder's recipe."""
        return self._inner.recipe

    @property
    def dimensions(self) -> int:
        """The inner embedder's dimensions."""
        return self._inner.dimensions

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Returns float32 ``[len(texts), dimensions]``; each distinct text is embedded once.

        Raises:
            ServiceUnavailable: The inner embedder fails; what it gave before that is kept.
        """
        keys = [hashlib.sha256(text.encode(errors="surrogatepass")).digest() for text in texts]
        result = np.empty((len(texts), self.dimensions), np.float32)
        missing: dict[bytes, str] = {}
        with self._lock:
            self._catch_up()
            for place, key in enumerate(keys):
                vector = self._look_up(key)
                if vector is None:
                    missing[key] = texts[place]
                else:
                    result[place] = vector
            self.hits += len(texts) - sum(key in missing for key in keys)
            self.misses += len(missing)
        fresh = self._embed_missing(missing)
        for place, key in enumerate(keys):
            if key in fresh:
                result[place] = fresh[key]
        return result

    def _embed_missing(self, missing: dict[bytes, str]) -> dict[bytes, Vectors]:
        """Embeds and keeps batch by batch, so that a kill costs one batch."""
        fresh: dict[bytes, Vectors] = {}
        keys = list(missing)
        for start in range(0, len(keys), BATCH):
            batch = keys[start : start + BATCH]
            vectors = self._inner.embed([missing[key] for key in batch])
            fresh.update(zip(batch, vectors, strict=True))
            with self._lock:
                self._keep(batch, vectors)
        return fresh

    def _look_up(self, key: bytes) -> Vectors | None:
        found = self._rows.get(key)
        if found is None or self._vectors is None:
            return None
        row, crc = found
        vector: Vectors = self._vectors[row]
        if zlib.crc32(vector.tobytes()) != crc or not np.isfinite(vector).all():
            # Damaged on the volume: forget it, and the text is embedded anew.
            del self._rows[key]
            return None
        return vector

    def _catch_up(self) -> None:
        """Reads the rows that were appended since the last look, ours or another process's."""
        try:
            rows = self._whole_rows()
            if rows <= self._known:
                return
            with self._keys_path.open("rb") as file:
                file.seek(self._known * _ROW_BYTES)
                index = file.read((rows - self._known) * _ROW_BYTES)
            self._vectors = np.memmap(
                self._vectors_path, np.dtype("<f4"), "r", shape=(rows, self.dimensions)
            )
        except (OSError, ValueError) as error:
            _LOG.warning("the embedding cache %s cannot be read: %s", self._folder, error)
            return
        for place in range(len(index) // _ROW_BYTES):
            row = index[place * _ROW_BYTES : (place + 1) * _ROW_BYTES]
            crc = int.from_bytes(row[_KEY_BYTES:], "little")
            self._rows[row[:_KEY_BYTES]] = (self._known + place, crc)
        self._known = rows

    def _whole_rows(self) -> int:
        if not self._keys_path.exists() or not self._vectors_path.exists():
            return 0
        return min(
            self._keys_path.stat().st_size // _ROW_BYTES,
            self._vectors_path.stat().st_size // self._width,
        )

    def _keep(self, keys: Sequence[bytes], vectors: Vectors) -> None:
        try:
            with self._writer_lock():
                # Another process may have embedded the same texts since.
                self._catch_up()
                new = [place for place, key in enumerate(keys) if key not in self._rows]
                rows = self._whole_rows()
                if not new or rows + len(new) > self._max_rows:
                    return
                blocks = [np.asarray(vectors[place], "<f4").tobytes() for place in new]
                # Vectors first: a key without its vector must not be seen as a whole row.
                _append(self._vectors_path, rows * self._width, b"".join(blocks))
                index = b"".join(
                    keys[place] + zlib.crc32(block).to_bytes(4, "little")
                    for place, block in zip(new, blocks, strict=True)
                )
                _append(self._keys_path, rows * _ROW_BYTES, index)
                self._catch_up()
        except OSError as error:
            self.refused_writes += 1
            if self.refused_writes == 1:
                _LOG.warning("the embedding cache %s takes no rows: %s", self._folder, error)

    @contextmanager
    def _writer_lock(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # Closing the file releases the lock, also when the process dies.
            yield


def _append(path: Path, length: int, block: bytes) -> None:
    """Writes a block after ``length`` good bytes; a torn row behind them is cut off."""
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.truncate(length)
        file.seek(length)
        file.write(block)
        file.flush()
        os.fsync(file.fileno())


def _folder_name(inner: TextEmbedder) -> str:
    digest = hashlib.sha256(f"{inner.recipe}\0{inner.dimensions}".encode()).hexdigest()[:12]
    readable = re.sub(r"[^a-zA-Z0-9.]+", "-", inner.recipe).strip("-.")[:60]
    return f"{_FORMAT}-{readable}-{digest}"
