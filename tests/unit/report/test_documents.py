"""Documents of a run are read whoever wrote them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.report.documents import (
    MAX_ATTEMPTS,
    letters_of,
    read_attempts,
    read_object,
    read_records,
)
from fakes.report_runs import records, timeline

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def test_records_are_read():
    found = read_records(records(), {})
    assert (found.training, found.validation, found.held_out, found.total) == (12, 12, 6, 30)
    assert (found.rejected, found.rows[0].reason, found.duplicates) == (1, "no output", 2)
    assert (found.notes, found.calls.model_calls) == (("posterior of 00_01 taken from 00",), 40)
    assert (found.metrics[0].name, found.metrics[0].mean) == ("confidence", 0.75)


def test_the_split_of_the_archive_wins():
    assert read_records(records(), {"training": 1}).total == 1


def test_attempts_are_read_from_the_first_ones_start():
    found = read_attempts(timeline(1))
    assert [(one.job, one.label) for one in found] == [
        ("prepare", "prepare"),
        ("00", "A"),
        ("archive", "archive"),
    ]
    assert (found[0].start, found[1].start) == (0.0, 10.0)
    assert (found[1].peak, found[1].limit) == (105 << 20, 1 << 30)
    assert found[2].outcome == ""


@pytest.mark.parametrize(
    "change",
    [
        {"start": None},
        {"start": float("nan")},
        {"start": True},
        {"job": ""},
        {"job": 3},
        {"job": "\ud800"},
        {"job": "00_09"},
    ],
    ids=["no-start", "nan", "true", "no-name", "a-number", "nobodys", "no-group"],
)
def test_an_attempt_without_name_or_start_is_none(change):
    job = timeline(1)["jobs"][0] | change
    assert read_attempts({"jobs": [job]}) == ()


def test_attempts_are_bounded():
    job = timeline(1)["jobs"][0]
    wild = {"memory": {"step": -1, "bytes": list(range(100_000))}, "stages": [[41, 5, 2]] * 9999}
    (one,) = read_attempts({"jobs": [job | wild]})
    assert (len(one.memory), one.spans) == (400, ())
    assert one.step > 0
    jobs = [job | {"start": float(i)} for i in range(MAX_ATTEMPTS + 99)]
    assert len(read_attempts({"jobs": jobs})) == MAX_ATTEMPTS


def test_an_attempt_centuries_later_is_left_out():
    first, second = timeline(1)["jobs"][:2]
    found = read_attempts({"jobs": [first, second | {"start": 1e12}]})
    assert [one.job for one in found] == ["prepare"]


@given(JSON, JSON)
def test_nothing_makes_a_reader_fail(document, part):
    wrapped = document if isinstance(document, dict) else {"jobs": [part], "notes": document}
    named = {"jobs": [{"job": "00", "start": 1, "memory": part, "stages": document}]}
    for one in (wrapped, named):
        read_attempts(one)
        read_records(one, {})


@pytest.mark.parametrize("data", [None, b"", b"[]", b"{", b"[" * 99_999, b"\xff"])
def test_what_is_no_object_is_an_empty_one(data):
    assert read_object(data) == {}


def test_an_object_is_read():
    assert read_object(json.dumps({"a": 1}).encode()) == {"a": 1}


@pytest.mark.parametrize(
    ("key", "letters"),
    [("00_02", "AC"), ("05", "F"), ("prepare", "prepare"), ("00_09", "00_09")],
)
def test_groups_have_letters(key, letters):
    assert letters_of(key) == letters
