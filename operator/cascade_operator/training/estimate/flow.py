"""Which node's prompt depends on which: what makes two model calls the same one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade_operator.api.canonical import canonical_json
from cascade_operator.api.cascade import CascadeSpec
from cascade_operator.training.runs import RecordedInputs, initial_fields

Ids = NDArray[np.uint64]
"""One number a record; equal numbers stand for equal values."""


@dataclass(frozen=True, slots=True)
class NodeFlow:
    """Where one node's fields come from.

    Attributes:
        name: The node.
        given: Fields it reads that the trace gives.
        sources: Positions of the nodes that wrote what else it reads.
        closure: Positions of every node that its prompt depends on, its own among them.
    """

    name: str
    given: tuple[str, ...]
    sources: tuple[int, ...]
    closure: tuple[int, ...]


def node_flows(cascade: CascadeSpec) -> tuple[NodeFlow, ...]:
    """Returns each node's sources, in cascade order."""
    writer: dict[str, int] = {}
    flows: list[NodeFlow] = []
    for place, node in enumerate(cascade.nodes):
        reads = dict.fromkeys(field.name for field in node.parsed.inputs)
        sources = sorted({writer[name] for name in reads if name in writer})
        closure = {place}.union(*(flows[source].closure for source in sources))
        given = tuple(name for name in reads if name not in writer)
        flows.append(NodeFlow(node.name, given, tuple(sources), tuple(sorted(closure))))
        writer |= dict.fromkeys((field.name for field in node.parsed.outputs), place)
    return tuple(flows)


def given_ids(
    cascade: CascadeSpec, flows: Sequence[NodeFlow], records: Iterable[RecordedInputs]
) -> tuple[Ids, ...]:
    """Returns, for each node, what each record gives it: uint64 ``[records]`` a node."""
    rows = []
    for record in records:
        fields = initial_fields(cascade, record)
        rows.append([_identity(fields, flow.given) for flow in flows])
    table = np.array(rows, dtype=np.uint64).reshape(len(rows), len(flows))
    return tuple(np.ascontiguousarray(table[:, place]) for place in range(len(flows)))


def _identity(fields: Mapping[str, Any], names: Sequence[str]) -> int:
    text = canonical_json({name: fields[name] for name in names if name in fields})
    digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], "big")
