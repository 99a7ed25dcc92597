"""How much memory prepare needs, before it has read a record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cascade_operator.api.models_spec import ReductionMethod
from cascade_operator.api.session import TrainingSessionSpec
from cascade_operator.traces.layout import Layout

# Measured with `cascade run examples/quickstart.yaml`: the Job's highest working set with a handful
# of records, and what UMAP's process adds (numba and its compiled code).
BASE_BYTES: Final = 160 << 20
UMAP_BYTES: Final = 460 << 20
VECTOR_COPIES: Final = 3
"""The vectors as embedded, as one matrix for the reduction, and as packed for Redis."""
RECORD_BYTES: Final = 30_000
"""One record's texts as Python objects, with their embeddings' keys."""


@dataclass(frozen=True, slots=True)
class Need:
    """An estimate of memory.

    Attributes:
        likely: Bytes.
        vectors: Of these, the vectors.
    """

    likely: int
    vectors: int


def prepare_need(spec: TrainingSessionSpec, records: int) -> Need:
    """Returns what prepare is expected to use for so many records."""
    columns = Layout(tuple(node.name for node in spec.cascade.nodes)).columns
    vectors = VECTOR_COPIES * records * columns * spec.models.embedding.dimensions * 4
    umap = UMAP_BYTES if spec.models.reduction.method is ReductionMethod.UMAP else 0
    return Need(BASE_BYTES + umap + vectors + records * RECORD_BYTES, vectors)
