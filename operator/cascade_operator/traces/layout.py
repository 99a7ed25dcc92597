"""The columns of a trace's vectors, and the texts that they embed.

Column ``2 * i`` is what node ``i`` read, ``2 * i + 1`` what it wrote; the last column is the
validated output. This order is the one of the binary chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from cascade_operator.api.canonical import canonical_json
from cascade_operator.traces.embedding import TextEmbedder, Vectors, embed_distinct
from cascade_operator.traces.record import TraceRecord
from cascade_operator.traces.validated import closest

Side = Literal["in", "out"]
SIDES: Final[tuple[Side, ...]] = ("in", "out")


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns for nodes in cascade order."""

    nodes: tuple[str, ...]

    @property
    def columns(self) -> int:
        """How many columns a trace has."""
        return 2 * len(self.nodes) + 1

    @property
    def validated(self) -> int:
        """The column of the validated output."""
        return 2 * len(self.nodes)

    def column(self, node: str, side: Side) -> int:
        """Returns the column of one side of a node.

        Raises:
            KeyError: The layout has no such node.
        """
        if node not in self.nodes:
            raise KeyError(node)
        return 2 * self.nodes.index(node) + SIDES.index(side)

    def texts(self, record: TraceRecord) -> list[str]:
        """Returns the text of each column: canonical JSON of its fields."""
        fields = [chain[node] for node in self.nodes for chain in (record.inputs, record.outputs)]
        last = record.outputs[self.nodes[-1]]
        # Resolved towards what the cascade wrote, as the metric does it for a new output.
        return [canonical_json(field) for field in (*fields, closest(record.validated, last))]


def embed_traces(
    records: Sequence[TraceRecord], nodes: Sequence[str], embedder: TextEmbedder
) -> Vectors:
    """Embeds every column of every record, each distinct text once.

    Vectors that came with the file are not used: nothing says how they were made, and vectors of
    two recipes must not be compared.

    Returns:
        float32 ``[2 * len(nodes) + 1, len(records), dimensions]`` of unit vectors.

    Raises:
        ServiceUnavailable: The embedding server fails.
    """
    layout = Layout(tuple(nodes))
    rows = [layout.texts(record) for record in records]
    flat = [row[column] for column in range(layout.columns) for row in rows]
    vectors = embed_distinct(flat, embedder)
    return vectors.reshape(layout.columns, len(records), embedder.dimensions)
