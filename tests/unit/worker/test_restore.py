"""A run taken back from its own archive keeps its records and their split."""

from __future__ import annotations

import pytest

from cascade_operator.archive.model import RunArchive, SplitRow
from cascade_operator.traces.record import Split, TraceSet
from cascade_operator.worker.restore import archived_traces
from fakes.traces import record

SPLITS = ("heldOut", "training", "validation", "training")


def _archive(records):
    rows = [SplitRow(r.record_id, r.content_hash, s) for r, s in zip(records, SPLITS, strict=True)]
    return RunArchive(b"{}", "20260101T000000Z", "a", "b", True, tuple(rows), b"{}")


def _traces(*records):
    return TraceSet(tuple(records), (), 0)


ARCHIVED = [record(number) for number in range(4)]


@pytest.mark.parametrize(
    "today",
    [
        ARCHIVED,
        [*ARCHIVED, record(4), record(5)],
        [record(7), *reversed(ARCHIVED)],
        [record(number, record_id=f"new-{number}") for number in range(4)],
    ],
    ids=["same", "grown", "another-order", "other-names"],
)
def test_the_archived_records_are_used_in_their_order(today):
    traces, split = archived_traces(_traces(*today), _archive(ARCHIVED))
    assert list(traces.records) == ARCHIVED
    assert split == {f"r{n}": Split(name) for n, name in enumerate(SPLITS)}


@pytest.mark.parametrize(
    "today",
    [ARCHIVED[1:], [record(0, validated={"call": "other"}), *ARCHIVED[1:]]],
    ids=["gone", "changed"],
)
def test_an_archive_of_records_that_are_gone_does_not_fit(today):
    assert archived_traces(_traces(*today), _archive(ARCHIVED)) is None
