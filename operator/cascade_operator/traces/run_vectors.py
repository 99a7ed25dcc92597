"""Stages 12 and 13 of a whole run: its vectors block by block, in memory that does not grow.

A run of up to ``FIT_ROWS`` vectors is embedded and reduced in one batch. Of a larger one a sample
of records fits the reduction, the same sample each time, and every record is then embedded and
reduced in blocks of that size; texts of the sample come back from the embeddings' cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from cascade_operator.traces.embedding import TextEmbedder, Vectors
from cascade_operator.traces.layout import Layout, embed_traces
from cascade_operator.traces.record import TraceRecord
from cascade_operator.traces.reduction import Reducer, fit_reduce

FIT_ROWS: Final = 16 * 1024
"""Vectors that a reduction is fitted on, at most, and that are in memory at a time. UMAP takes
minutes for as many, and its saved form holds them all; what PCA finds has long settled."""

_SAVED_BYTES: Final = 48 << 20
"""UMAP's saved form, at most: Redis and archives bound what they keep of it. At 256 dimensions it
takes a quarter of this; longer vectors make the sample smaller."""


@dataclass(frozen=True, slots=True)
class Reduction:
    """How vectors are reduced: the arguments of ``fit_reduce``."""

    method: str
    dims: int
    seed: int
    scratch: str | None = None


class RunVectors:
    """The vectors of a run's records, for ``TraceStore.write_blocks``; call ``fit`` first.

    Args:
        records: The records, in the store's order.
        nodes: The nodes in cascade order.
        embedder: Embeds their texts; it should keep what it embedded.
        reduction: How vectors are reduced.
        on_block: Called before each block is embedded, with the number of records done.
        fit_rows: Vectors in memory, at most.
    """

    def __init__(
        self,
        records: Sequence[TraceRecord],
        nodes: Sequence[str],
        embedder: TextEmbedder,
        reduction: Reduction,
        *,
        on_block: Callable[[int], None] = lambda _done: None,
        fit_rows: int = FIT_ROWS,
    ) -> None:
        self._records = records
        self._nodes = nodes
        self._embedder = embedder
        self._reduction = reduction
        self._on_block = on_block
        saved = 2 * embedder.dimensions + 4 * reduction.dims
        rows = min(fit_rows, _SAVED_BYTES // saved)
        self._size = max(1, rows // Layout(tuple(nodes)).columns)
        self._sample: Vectors | None = None
        self._reducer: Reducer | None = None
        self._start = self._stop = 0
        self._block: tuple[Vectors, Vectors] | None = None

    @property
    def whole(self) -> bool:
        """Whether the run fits into one block, and so into the fit."""
        return len(self._records) <= self._size

    def embed(self) -> None:
        """Stage 12: embeds the run, or the sample of it that fits the reduction.

        Raises:
            ServiceUnavailable: The embedding server fails.
        """
        self._on_block(0)
        chosen = self._records
        if not self.whole:
            draw = np.random.default_rng(self._reduction.seed)
            places = draw.choice(len(self._records), self._size, replace=False)
            chosen = [self._records[place] for place in np.sort(places)]
        self._sample = embed_traces(chosen, self._nodes, self._embedder)

    def fit(self) -> Reducer:
        """Stage 13: fits the reduction on what was embedded.

        Raises:
            CascadeError: UMAP's process failed.
            RuntimeError: Nothing was embedded yet.
        """
        if self._sample is None:
            raise RuntimeError("embed comes before fit")
        sample, self._sample = self._sample, None
        columns, count, width = sample.shape
        how = self._reduction
        self._reducer, reduced = fit_reduce(
            sample.reshape(-1, width), how.method, how.dims, how.seed, scratch=how.scratch
        )
        if self.whole:
            self._block = sample, reduced.reshape(columns, count, -1)
            self._start, self._stop = 0, count
        return self._reducer

    def rows(self, start: int, stop: int) -> tuple[Vectors, Vectors]:
        """Returns the vectors of the records from ``start`` to (not with) ``stop``.

        Returns:
            float32 ``[columns, stop - start, width]`` and the same, reduced.

        Raises:
            ServiceUnavailable: The embedding server fails.
            RuntimeError: Nothing was fitted yet.
        """
        parts = []
        while start < stop:
            raw, reduced = self._block_of(start)
            until = min(stop, self._stop)
            part = slice(start - self._start, until - self._start)
            parts.append((raw[:, part], reduced[:, part]))
            start = until
        if len(parts) == 1:
            return parts[0]
        raw, reduced = (np.concatenate(blocks, axis=1) for blocks in zip(*parts, strict=True))
        return raw, reduced

    def _block_of(self, place: int) -> tuple[Vectors, Vectors]:
        if self._reducer is None:
            raise RuntimeError("fit comes before rows")
        if self._block is None or not self._start <= place < self._stop:
            self._block = None  # before the next one is made
            self._on_block(place)
            block = self._records[place : place + self._size]
            raw = embed_traces(block, self._nodes, self._embedder)
            columns, count, width = raw.shape
            reduced = self._reducer.transform(raw.reshape(-1, width))
            self._block = raw, reduced.reshape(columns, count, -1)
            self._start, self._stop = place, place + count
        return self._block
