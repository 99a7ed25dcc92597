"""Stage 56: posteriors for a run whose groups or records differ from the archived run's.

A group that was not archived takes the posterior of the nearest archived group, by the Hamming
distance between their node sets. A record that was not archived takes the counts of its nearest
archived neighbour in the raw embedding space, where both runs embedded by the same recipe; where
they did not, it starts uniform, Beta(1, 1). Counts are handed on as they were: how much an old
count still weighs is the search's to decide (stage 47).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from cascade_operator.archive.errors import ArchiveError
from cascade_operator.archive.members import group_size
from cascade_operator.archive.model import DoubleMatrix, GroupArchive, RunArchive, SplitRow

_ROWS_AT_ONCE: Final = 1024
_UNKNOWN: Final = -1
# Rounded before they are compared: the last bits of a dot product depend on the processor.
_SIMILARITY_DECIMALS: Final = 6


@dataclass(frozen=True, slots=True, eq=False)
class RecordSpace:
    """Where records lie, so that the nearest can be found.

    Attributes:
        recipe: What made the vectors.
        record_ids: n of them.
        vectors: [n, d], any float; row i belongs to ``record_ids[i]``.
    """

    recipe: str
    record_ids: tuple[str, ...]
    vectors: npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True, eq=False)
class Imputation:
    """Posteriors for every target group, and what in them was not simply carried over.

    Attributes:
        posteriors: Key -> [n, 2], float64: alpha and beta, in the target records' order.
        notes: What was imputed, a line each, for a reader; empty when everything was there.
    """

    posteriors: Mapping[str, DoubleMatrix]
    notes: tuple[str, ...]


def record_space(run: RunArchive, node: str) -> RecordSpace | None:
    """Returns where an archived run's records lie by one node's inputs (the cascade's first).

    None when the run kept no matrices of that node, or does not say what made them.
    """
    matrices = run.io_matrices.get(node)
    if matrices is None or not run.recipe:
        return None
    return RecordSpace(run.recipe, matrices.record_ids, matrices.in_raw)


def impute_posteriors(
    groups: Mapping[str, Sequence[str]],
    records: Sequence[SplitRow],
    archived: RunArchive,
    *,
    space: RecordSpace | None = None,
    archived_space: RecordSpace | None = None,
) -> Imputation:
    """Restores posteriors for groups and records that may differ from the archived ones.

    Args:
        groups: The groups wanted: key -> node names.
        records: The validation records wanted, in order. A record is known when its content hash
            is: an id whose content changed is another record.
        archived: The run to restore from, groups of all sizes in it.
        space: Where the wanted records lie.
        archived_space: Where the archived ones lie.

    Returns:
        A posterior for each group. Equal arguments give equal results, and so does the same
        archive with its records or groups in another order, since ties go to the smaller name.

    Raises:
        ArchiveError: An archived posterior has not a row for each archived validation record.
    """
    validation = [row for row in archived.split if row.split == "validation"]
    for key, group in archived.groups.items():
        if group.posterior.shape != (len(validation), 2):
            raise ArchiveError(archived.session_id, f"posterior of {key} does not fit the split")
    rows, record_notes = _source_rows(records, validation, space, archived_space)
    posteriors: dict[str, DoubleMatrix] = {}
    group_notes = []
    for key, nodes in groups.items():
        nearest = nearest_group(nodes, archived.groups.values())
        posteriors[key] = _take(nearest, rows)
        if nearest is None:
            group_notes.append(f"group {key}: no archived group, starts uniform")
        elif distance := hamming_distance(nodes, nearest.nodes):
            group_notes.append(
                f"group {key}: takes the posterior of archived group {nearest.key}"
                f" ({_differ(distance)})"
            )
    return Imputation(posteriors, (*group_notes, *record_notes))


def hamming_distance(left: Sequence[str], right: Sequence[str]) -> int:
    """Returns how many nodes stand in one of two groups, but not in both."""
    return len(set(left) ^ set(right))


def nearest_group(nodes: Sequence[str], archived: Iterable[GroupArchive]) -> GroupArchive | None:
    """Returns the archived group nearest to these nodes.

    A tie goes to the smaller group (its counts were earned by fewer changes), then by name.
    """
    return min(
        archived,
        key=lambda g: (hamming_distance(nodes, g.nodes), group_size(g.key), g.nodes, g.key),
        default=None,
    )


def _differ(distance: int) -> str:
    return f"they differ in {distance} node" + ("s" if distance > 1 else "")


def _take(group: GroupArchive | None, rows: npt.NDArray[np.intp]) -> DoubleMatrix:
    posterior = np.ones((len(rows), 2), dtype=np.float64)
    known = rows != _UNKNOWN
    if group is not None:
        posterior[known] = group.posterior[rows[known]]
    return posterior


def _source_rows(
    records: Sequence[SplitRow],
    archived: Sequence[SplitRow],
    space: RecordSpace | None,
    archived_space: RecordSpace | None,
) -> tuple[npt.NDArray[np.intp], list[str]]:
    # The archived row that each wanted record takes its counts from, or _UNKNOWN.
    by_hash = {row.content_hash: index for index, row in enumerate(archived)}
    rows = np.array([by_hash.get(r.content_hash, _UNKNOWN) for r in records], dtype=np.intp)
    new = np.flatnonzero(rows == _UNKNOWN).tolist()
    if not new:
        return rows, []
    reason = _no_neighbours(space, archived_space)
    if not reason and space is not None and archived_space is not None:
        wanted = [records[index].record_id for index in new]
        rows[new] = _neighbours(wanted, space, [row.record_id for row in archived], archived_space)
    uniform = int((rows == _UNKNOWN).sum())
    note = (
        f"{len(new)} of {len(records)} validation records are not in the archive:"
        f" {len(new) - uniform} take the counts of their nearest neighbour,"
        f" {uniform} start uniform"
    )
    return rows, [note + (f" ({reason})" if reason else "")]


def _no_neighbours(space: RecordSpace | None, archived: RecordSpace | None) -> str:
    if space is None or archived is None:
        return "no embeddings to compare"
    if space.recipe != archived.recipe or space.vectors.shape[1:] != archived.vectors.shape[1:]:
        return f"embedded by {space.recipe}, the archive by {archived.recipe}"
    return ""


def _neighbours(
    wanted: Sequence[str], space: RecordSpace, archived: Sequence[str], archived_space: RecordSpace
) -> npt.NDArray[np.intp]:
    own = {record: index for index, record in enumerate(space.record_ids)}
    old = {record: index for index, record in enumerate(archived_space.record_ids)}
    # Sorted by id: argmax takes the first of equals, whatever order the archive keeps.
    candidates = sorted((record, row) for row, record in enumerate(archived) if record in old)
    found = np.full(len(wanted), _UNKNOWN, dtype=np.intp)
    places = [place for place, record in enumerate(wanted) if record in own]
    if not candidates or not places:
        return found
    targets = np.array([row for _, row in candidates], dtype=np.intp)
    basis = _unit(archived_space.vectors[[old[record] for record, _ in candidates]])
    for start in range(0, len(places), _ROWS_AT_ONCE):
        step = places[start : start + _ROWS_AT_ONCE]
        queries = _unit(space.vectors[[own[wanted[place]] for place in step]])
        similarity = np.round(queries @ basis.T, _SIMILARITY_DECIMALS)
        found[step] = targets[np.argmax(similarity, axis=1)]
    return found


def _unit(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    wide = np.asarray(vectors, dtype=np.float64)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    unit: npt.NDArray[np.float64] = np.divide(wide, norms, out=np.zeros_like(wide), where=norms > 0)
    return unit
