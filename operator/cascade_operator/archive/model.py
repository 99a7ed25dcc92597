"""What an archive holds, as plain values: bytes, dicts and numpy arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cascade_operator.archive.errors import ArchiveError
from cascade_operator.archive.members import group_size

HalfMatrix = npt.NDArray[np.float16]
DoubleMatrix = npt.NDArray[np.float64]
SplitName = Literal["training", "validation", "heldOut"]
TrialKind = Literal["whole", "minibatch"]


@dataclass(frozen=True, slots=True)
class SplitRow:
    """One record of the run: its id, the hash of its content, and its split."""

    record_id: str
    content_hash: str
    split: SplitName


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One trial of a group's search.

    Attributes:
        number: From 0, in the order told.
        choice: The program: node name -> index of the candidate in the pool.
        score: 0 to 1, over the records the trial scored.
        kind: Whether those were the whole validation split or a minibatch.
        examples: How many records were scored.
        parse_failures: How many of their outputs could not be parsed.
        origin: What proposed the program, as the search names it.
    """

    number: int
    choice: Mapping[str, int]
    score: float
    kind: TrialKind
    examples: int = 0
    parse_failures: int = 0
    origin: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class NodeMatrices:
    """A node's embeddings by record, float16; row i belongs to ``record_ids[i]``.

    Attributes:
        record_ids: n of them, each once.
        in_red: Inputs, reduced: [n, 64].
        in_raw: Inputs: [n, 256].
        out_red: Outputs, reduced: [n, 64].
        out_raw: Outputs: [n, 256].
        validated_raw: The validated output: [n, 256], where the run kept it.
    """

    record_ids: tuple[str, ...]
    in_red: HalfMatrix
    in_raw: HalfMatrix
    out_red: HalfMatrix
    out_raw: HalfMatrix
    validated_raw: HalfMatrix | None = None


@dataclass(frozen=True, slots=True, eq=False)
class GroupArchive:
    """What one node group's search left.

    Attributes:
        key: Two-digit positions: ``00_02``.
        nodes: The node names, in cascade order.
        checkpoint_json: The search's last checkpoint.
        posterior: [n_validation, 2], float64: alpha and beta of each validation record, in the
            split's order.
        trials: In the order told.
        program_json: The best program's state, or None while a search has none.
        result: The group's figures; empty while the search is not over.
    """

    key: str
    nodes: tuple[str, ...]
    checkpoint_json: bytes
    posterior: DoubleMatrix
    trials: tuple[TrialRow, ...] = ()
    program_json: bytes | None = None
    result: Mapping[str, Any] = field(default_factory=dict)

    @property
    def mapping(self) -> dict[str, str]:
        """Position -> node name, as ``59_node_chain_mapping.json`` holds it."""
        return dict(zip(self.key.split("_"), self.nodes, strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class RunArchive:
    """A run, or the part of it that holds the groups of one size.

    Attributes:
        config_json: The resolved run configuration.
        session_id: ``%Y%m%dT%H%M%SZ``.
        namespace: Of the session.
        session: Its name.
        progressive: True when written before the run was over.
        split: One row a record, in the split's order.
        candidates_json: The pool of the run.
        groups: By key.
        io_matrices: By node name.
        reducer_npz: The fitted reducer, where there is one.
        recipe: What made the raw vectors (model, prefix, dimensions): vectors of two runs compare
            only where it is the same.
        group_size: 0 for a run that holds groups of several sizes or none.
        sizes: The group sizes of the whole set of files that was written together.
        documents: What the run says of itself for a reader: one of ``members.DOCUMENTS`` -> JSON.
    """

    config_json: bytes
    session_id: str
    namespace: str
    session: str
    progressive: bool
    split: tuple[SplitRow, ...]
    candidates_json: bytes
    groups: Mapping[str, GroupArchive] = field(default_factory=dict)
    io_matrices: Mapping[str, NodeMatrices] = field(default_factory=dict)
    reducer_npz: bytes | None = None
    recipe: str = ""
    group_size: int = 0
    sizes: tuple[int, ...] = ()
    documents: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def validation_ids(self) -> tuple[str, ...]:
        """The validation records in the split's order: the rows of every posterior."""
        return tuple(row.record_id for row in self.split if row.split == "validation")

    def of_size(self, size: int, sizes: Sequence[int]) -> RunArchive:
        """Returns the part with the groups of one size, as one file holds it."""
        groups = {key: group for key, group in self.groups.items() if group_size(key) == size}
        return replace(self, groups=groups, group_size=size, sizes=tuple(sizes))


def combine(parts: Sequence[RunArchive]) -> RunArchive:
    """Joins the files of one run into one.

    Args:
        parts: At least one; what they share is taken from the first part that has it.

    Raises:
        ArchiveError: The parts are not of one run, or hold the same group twice.
    """
    first = parts[0]
    groups: dict[str, GroupArchive] = {}
    matrices: dict[str, NodeMatrices] = {}
    documents: dict[str, bytes] = {}
    for part in parts:
        name = f"{part.namespace}/{part.session}/{part.session_id} size {part.group_size}"
        for what in ("namespace", "session", "session_id", "config_json", "candidates_json"):
            if getattr(part, what) != getattr(first, what):
                raise ArchiveError(name, f"belongs to another run: its {what} differs")
        if part.split != first.split:
            raise ArchiveError(name, "belongs to another run: its split differs")
        if twice := groups.keys() & part.groups.keys():
            raise ArchiveError(name, f"holds a group again: {min(twice)}")
        groups.update(part.groups)
        matrices = {**part.io_matrices, **matrices}
        documents = {**part.documents, **documents}
    return replace(
        first,
        progressive=any(part.progressive for part in parts),
        groups=dict(sorted(groups.items(), key=lambda item: (group_size(item[0]), item[0]))),
        io_matrices=matrices,
        reducer_npz=next((p.reducer_npz for p in parts if p.reducer_npz is not None), None),
        recipe=next((p.recipe for p in parts if p.recipe), ""),
        group_size=0,
        sizes=tuple(sorted({size for part in parts for size in part.sizes})),
        documents=documents,
    )
