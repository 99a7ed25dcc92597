"""When an archive is due."""

from datetime import UTC, datetime, timedelta

import pytest

from cascade_operator.control.domain.policies.archiving import (
    ArchiveClock,
    ArchiveKind,
    GroupSummary,
    due_archive,
)

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = 3600.0
OK, BAD, OPEN = "ok", "bad", "open"


def groups(**states: str) -> list[GroupSummary]:
    keys = {"a": ("00", 1), "b": ("01", 1), "ab": ("00_01", 2)}
    return [
        GroupSummary(keys[k][0], keys[k][1], terminal=s != OPEN, succeeded=s == OK)
        for k, s in states.items()
    ]


@pytest.mark.parametrize(
    ("states", "archived", "hours", "last", "expected"),
    [
        pytest.param({"a": OPEN, "b": OPEN, "ab": OPEN}, [], 1, None, None, id="nothing yet"),
        pytest.param({"a": OK, "b": OPEN, "ab": OPEN}, [], 1, None, None, id="size not complete"),
        pytest.param(
            {"a": OK, "b": OK, "ab": OPEN}, [], 1, None, ArchiveKind.PROGRESSIVE, id="size complete"
        ),
        pytest.param(
            {"a": OK, "b": BAD, "ab": OPEN},
            [],
            1,
            None,
            ArchiveKind.PROGRESSIVE,
            id="size complete with a failed group",
        ),
        pytest.param({"a": BAD, "b": BAD, "ab": OPEN}, [], 1, None, None, id="all of it failed"),
        pytest.param(
            {"a": OK, "b": OK, "ab": OPEN}, ["00", "01"], 1, None, None, id="already archived"
        ),
        pytest.param(
            {"a": OK, "b": OPEN, "ab": OPEN}, [], 6, None, ArchiveKind.PROGRESSIVE, id="interval"
        ),
        pytest.param(
            {"a": OK, "b": OPEN, "ab": OPEN}, [], 9, 4, None, id="interval counts from the last"
        ),
        pytest.param(
            {"a": OK, "b": OPEN, "ab": OPEN},
            ["00"],
            99,
            1,
            ArchiveKind.PROGRESSIVE,
            id="interval, the running searches' checkpoints",
        ),
        pytest.param({"a": OK, "b": OK, "ab": OK}, [], 1, None, ArchiveKind.FINAL, id="all done"),
        pytest.param(
            {"a": OK, "b": OK, "ab": BAD}, ["00", "01"], 1, 1, ArchiveKind.FINAL, id="last failed"
        ),
    ],
)
def test_due_archive(states, archived, hours, last, expected):
    clock = ArchiveClock(
        start=START,
        last=None if last is None else START + timedelta(hours=last),
        interval=6 * HOUR,
        archived=frozenset(archived),
    )
    assert due_archive(groups(**states), clock, START + timedelta(hours=hours)) is expected
