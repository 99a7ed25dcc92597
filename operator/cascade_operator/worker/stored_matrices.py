"""Stage 54: the nodes' matrices as an archive takes them, read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cascade_operator.archive.model import NodeMatrices
from cascade_operator.traces.store import TraceStore


class StoredMatrices(Mapping[str, NodeMatrices]):
    """Node -> matrices, from the trace store; no more of them in memory than are in use.

    For 100,000 traces a node's take 180 MB: four of them with their packed forms are more than an
    archive Job has.
    """

    def __init__(self, store: TraceStore) -> None:
        self._store = store

    def __getitem__(self, node: str) -> NodeMatrices:
        """Reads a node's matrices.

        Raises:
            KeyError: The run has no such node.
            RunDataGone: A chunk is missing or damaged.
        """
        sides = self._store.matrices(node)
        return NodeMatrices(
            record_ids=self._store.record_ids(),
            in_red=sides["in"]["red"],
            in_raw=sides["in"]["raw"],
            out_red=sides["out"]["red"],
            out_raw=sides["out"]["raw"],
            validated_raw=self._store.validated_raw(),
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._store.manifest().nodes)

    def __len__(self) -> int:
        return len(self._store.manifest().nodes)
