"""From a table's columns to the model's rows, each value checked again on this side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from cascade_operator.archive.documents import parse_object
from cascade_operator.archive.errors import MalformedError
from cascade_operator.archive.model import NodeMatrices, SplitRow, TrialRow
from cascade_operator.archive.tables import Columns

_SPLITS: Final = {"training", "validation", "heldOut"}
_KINDS: Final = {"whole", "minibatch"}


def split_rows(columns: Columns) -> tuple[SplitRow, ...]:
    """Returns the split in the table's order.

    Raises:
        MalformedError: An unknown split, or a record twice.
    """
    names: Any = [columns[name] for name in ("record_id", "content_hash", "split")]
    if unknown := set(names[2]) - _SPLITS:
        raise MalformedError(f"names a split that does not exist: {min(unknown)[:40]!r}")
    _expect_unique(names[0])
    return tuple(SplitRow(*row) for row in zip(*names, strict=True))


def trial_rows(columns: Columns) -> tuple[TrialRow, ...]:
    """Returns the trials of a group.

    Raises:
        MalformedError: Values no trial has.
    """
    names = list(columns)
    values = [c if isinstance(c, list) else c.tolist() for c in columns.values()]
    return tuple(_trial(dict(zip(names, row, strict=True))) for row in zip(*values, strict=True))


def node_matrices(columns: Columns) -> NodeMatrices:
    """Returns a node's matrices.

    Raises:
        MalformedError: A record twice.
    """
    matrices: dict[str, Any] = dict(columns)
    ids = tuple(matrices.pop("record_id"))
    _expect_unique(ids)
    return NodeMatrices(record_ids=ids, **matrices)


def _trial(row: dict[str, Any]) -> TrialRow:
    choice = parse_object(row.pop("choice").encode())
    whole = [row["number"], row["examples"], row["parse_failures"], *choice.values()]
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in whole):
        raise MalformedError("holds a trial with a number or a candidate's index below 0")
    if row["kind"] not in _KINDS or not np.isfinite(row["score"]):
        raise MalformedError(f"holds a trial that cannot be: number {row['number']}")
    return TrialRow(choice=choice, **row)


def _expect_unique(ids: Sequence[str]) -> None:
    if len(set(ids)) != len(ids):
        raise MalformedError("holds a record twice")
