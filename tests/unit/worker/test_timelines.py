"""The timelines of a run's attempts as one list, also after a restore."""

from __future__ import annotations

import json

import pytest

from cascade_operator.api.keys import RunKeys
from cascade_operator.worker.run_data import RunData
from cascade_operator.worker.timelines import MAX_ENTRIES, merge_timelines


def _entry(job="00", attempt=1, start=1.0, **more):
    return {"job": job, "attempt": attempt, "start": start, **more}


def _held(*entries):
    return {str(i).encode(): json.dumps(entry).encode() for i, entry in enumerate(entries)}


def test_attempts_come_in_the_order_of_their_start():
    late, early = _entry("01", start=9.5), _entry("prepare", start=2)
    again = _entry("00", attempt=1, start=5.0)
    found = merge_timelines({"jobs": [late]}, _held(again, early))
    assert found == [early, again, late]


def test_what_redis_holds_wins_over_the_archived_one():
    found = merge_timelines({"jobs": [_entry(outcome="")]}, _held(_entry(outcome="Done")))
    assert [entry["outcome"] for entry in found] == ["Done"]


@pytest.mark.parametrize(
    "archived",
    [None, {}, {"jobs": 3}, {"jobs": [3, {}, {"job": 1, "attempt": 1, "start": 1}]}, []],
    ids=["none", "empty", "no-list", "no-entries", "no-object"],
)
def test_what_cannot_be_read_is_left_out(archived):
    held = _held(_entry()) | {b"x": b"{", b"y": b"[1]", b"z": b"[" * 100_000}
    assert merge_timelines(archived, held) == [_entry()]


def test_the_latest_attempts_stay():
    found = merge_timelines(None, _held(*(_entry(start=float(i)) for i in range(MAX_ENTRIES + 7))))
    assert (len(found), found[0]["start"]) == (MAX_ENTRIES, 7.0)


def test_a_restored_run_keeps_its_earlier_attempts(redis_client):
    keys = RunKeys("u", 1)
    data = RunData(redis_client, keys)
    data.put_documents({"62_timeline.json": json.dumps({"jobs": [_entry("prepare")]}).encode()})
    redis_client.hset(keys.timeline(), "a", json.dumps(_entry("00", start=3.0)))
    data.collect_timeline()
    document = json.loads(data.documents()["62_timeline.json"])
    assert [entry["job"] for entry in document["jobs"]] == ["prepare", "00"]
    assert data.clean_up() == 2


def test_a_damaged_document_costs_only_itself(redis_client):
    keys = RunKeys("u", 1)
    data = RunData(redis_client, keys)
    redis_client.set(keys.document("62_timeline.json"), b"{")
    redis_client.hset(keys.timeline(), "a", json.dumps(_entry()))
    data.collect_timeline()
    assert json.loads(data.documents()["62_timeline.json"])["jobs"] == [_entry()]
