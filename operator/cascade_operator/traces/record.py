"""One human-validated run of the cascade: what each node read, what it wrote, what was right."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from cascade_operator.api.canonical import canonical_json

Fields = Mapping[str, Any]
"""The JSON values of one node's fields, by field name."""


class Split(StrEnum):
    """What a record is used for."""

    TRAINING = "training"
    VALIDATION = "validation"
    HELD_OUT = "heldOut"


@dataclass(frozen=True, slots=True)
class NodeFields:
    """The field names of one node's signature.

    Attributes:
        inputs: Names that ``agent_chain_inputs[node]`` must hold.
        outputs: Names that ``agent_chain_outputs[node]`` must hold.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TraceRecord:
    """One row of the trace file, checked.

    Attributes:
        record_id: The row's name, unique in its file.
        inputs: Per node, the fields that it read.
        outputs: Per node, the fields that it wrote.
        validated: The human-validated final fields; a leaf may be
            ``{"anyOf": [...], "optional": bool}``.
        metrics: Per node, figures that came with the trace; only the report shows them.
        group_key: Records with one key stay in one split; empty means that it stands alone.
        input_embeddings: Per node, a vector that came with the trace, of any length.
        output_embeddings: The same for the outputs.
        content_hash: sha256 (hexadecimal) over inputs, outputs and validated fields. It leaves
            the name out, so that a copied row is known whatever it is called.
    """

    record_id: str
    inputs: Mapping[str, Fields]
    outputs: Mapping[str, Fields]
    validated: Fields
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    group_key: str = ""
    input_embeddings: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    output_embeddings: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    content_hash: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "content_hash", hash_content(self.inputs, self.outputs, self.validated)
        )

    @property
    def split_key(self) -> str:
        """What decides the split: the group's key, else the content."""
        return f"group:{self.group_key}" if self.group_key else f"content:{self.content_hash}"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that was put aside.

    Attributes:
        row: Its place in the file, from 1 (the line of a JSONL file).
        record_id: Its name, as far as one could be read.
        reason: Why, for the person who mends the file.
    """

    row: int
    record_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class TraceSet:
    """What a trace file held.

    Attributes:
        records: The good rows, in the file's order.
        rejected: The rows put aside, the first 10,000.
        duplicates: How many rows repeated another's content and were dropped.
        bad: How many rows were put aside; more than are listed where there are very many.
    """

    records: tuple[TraceRecord, ...]
    rejected: tuple[Rejected, ...]
    duplicates: int
    bad: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "bad", max(self.bad, len(self.rejected)))


def hash_content(
    inputs: Mapping[str, Fields], outputs: Mapping[str, Fields], validated: Fields
) -> str:
    """Returns the sha256 (64 hexadecimal digits) of what a record says."""
    text = canonical_json({"inputs": inputs, "outputs": outputs, "validated": validated})
    return hashlib.sha256(text.encode()).hexdigest()
