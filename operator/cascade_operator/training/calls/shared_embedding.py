"""Embeddings behind the same shared cache as model answers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from cascade_operator.api.keys import embedding_cache_key
from cascade_operator.traces.embedding import TextEmbedder
from cascade_operator.training.calls.call_cache import SingleFlightCache


class SharedEmbedder:
    """Embeds each distinct text once for all Jobs of a namespace.

    Satisfies the port it wraps. Vectors are kept as exact float32, so that a score computed from
    the cache equals one computed afresh.

    Args:
        inner: The embedder that is asked for what the cache lacks, in one batch.
        cache: The process's cache.
        namespace: Part of each key.
        on_computed: Called with the number of texts that were embedded afresh.
    """

    def __init__(
        self,
        inner: TextEmbedder,
        cache: SingleFlightCache,
        namespace: str,
        on_computed: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._inner = inner
        self._cache = cache
        self._namespace = namespace
        self._on_computed = on_computed

    @property
    def recipe(self) -> str:
        """The inner embedder's recipe: it is part of each key."""
        return self._inner.recipe

    @property
    def dimensions(self) -> int:
        """Components of a vector."""
        return self._inner.dimensions

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Embeds texts.

        Args:
            texts: n texts; equal ones are embedded once.

        Returns:
            float32 of shape (n, dimensions), in the order of the texts.

        Raises:
            ServiceUnavailable: The embedding server failed.
        """
        keys = [self._key(text) for text in texts]
        distinct = dict(zip(keys, texts, strict=True))
        width = self.dimensions * 4
        found = {
            key: value
            for key, value in self._cache.get_many(list(distinct)).items()
            if len(value) == width
        }
        missing = [key for key in distinct if key not in found]
        if missing:
            computed = np.ascontiguousarray(
                self._inner.embed([distinct[key] for key in missing]), dtype="<f4"
            )
            self._on_computed(len(missing))
            fresh = {key: row.tobytes() for key, row in zip(missing, computed, strict=True)}
            self._cache.publish_many(fresh)
            found |= fresh
        out = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for row, key in enumerate(keys):
            out[row] = np.frombuffer(found[key], dtype="<f4")
        return out

    def _key(self, text: str) -> str:
        digest = hashlib.sha256(f"{self.recipe}\0{text}".encode("utf-8", "replace")).hexdigest()
        return embedding_cache_key(self._namespace, digest)
