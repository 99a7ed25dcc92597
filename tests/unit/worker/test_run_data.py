"""What Jobs leave for each other comes back as it was, and damage is told from absence."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cascade_operator.agents.candidate import Candidate, Demonstration
from cascade_operator.api.errors import RunDataGone, ServiceUnavailable
from cascade_operator.api.keys import RunKeys
from cascade_operator.api.records import PrepareResult
from cascade_operator.training.pool import CandidatePool
from cascade_operator.training.posterior import Posterior
from cascade_operator.training.results import result_document
from cascade_operator.worker import run_data
from cascade_operator.worker.run_data import TTL_SECONDS, GroupStart, RunData
from fakes.worker_jobs import closed_redis, figures_of, outcome_of

KEYS = RunKeys("u-1", 3)
POOL = CandidatePool(
    {
        "plan": (Candidate("Say it."), Candidate("Sag es — ö.", source="proposed")),
        "act": (Candidate("Do it.", (Demonstration("r1", {"a": [1]}, {"b": None}),)),),
    }
)
START = GroupStart({"plan": 1}, Posterior.uniform(2).observe([0], [0.3]))


@pytest.fixture
def data(redis_client):
    return RunData(redis_client, KEYS)


def test_a_pool_comes_back(data):
    data.put_pool(POOL)
    assert data.pool() == POOL
    assert data.pool().digest == POOL.digest


def test_a_result_comes_back_to_the_bit(data):
    outcome = outcome_of("00_01", 1 / 3, held_out=(0.1, 0.2), baseline=(0.3, 0.1))
    figures = figures_of(outcome)
    data.put_outcome(outcome, figures)
    found, found_figures = data.outcome("00_01")
    assert found.to_json() == outcome.to_json()
    assert found_figures == figures
    assert data.outcome("00") is None


@pytest.mark.parametrize("start", [START, GroupStart()], ids=["warm", "nothing"])
def test_a_start_comes_back(data, start):
    data.put_start("00", start)
    found = data.start("00")
    assert found.choice == start.choice
    assert (found.prior and found.prior.to_json()) == (start.prior and start.prior.to_json())


def test_a_group_without_a_start_begins_cold(data):
    assert data.start("00") == GroupStart()


def test_what_prepare_made_comes_back(data):
    assert data.prepared() is None
    result = PrepareResult(records=4, imputed=["a"], restored_groups=["00"])
    data.put_prepared(result)
    assert data.prepared() == result


def test_bytes_and_checkpoints_come_back(data):
    assert data.reducer() is None
    npz = io.BytesIO()
    np.savez(npz, components=np.ones(3, np.float32))
    data.put_reducer(npz.getvalue())
    assert data.reducer() == npz.getvalue()
    data.checkpoints("00").save({"trials": [1]})
    data.proposals().save_state({"step": 2})
    assert data.checkpoints("00").load() == {"trials": [1]}
    assert data.checkpoints("01").load() is None
    assert data.proposals().load_state() == {"step": 2}


def test_documents_come_back_as_the_archives_hold_them(data):
    assert data.documents() == {}
    data.put_document("62_timeline.json", {"jobs": ["ö"]})
    data.put_documents({"18_records.json": b'{"rejected": []}'})
    assert data.documents() == {
        "18_records.json": b'{"rejected":[]}',
        "62_timeline.json": '{"jobs":["ö"]}'.encode(),
    }


@pytest.mark.parametrize(
    "value",
    [b"{", b"[]", b"\xff", json.dumps({"a": "x" * (8 << 20)}).encode()],
    ids=["cut", "a list", "no text", "too large"],
)
def test_a_document_no_archive_can_take_is_left_out(data, redis_client, value):
    data.put_document("18_records.json", {"rejected": []})
    redis_client.set(KEYS.document("62_timeline.json"), value)
    assert list(data.documents()) == ["18_records.json"]


def test_everything_lives_two_weeks_from_its_last_use(data, redis_client):
    data.put_pool(POOL)
    data.put_start("00", START)
    data.put_outcome(outcome_of("00"), figures_of(outcome_of("00")))
    for key in redis_client.scan_iter():
        redis_client.expire(key, 60)
    data.pool(), data.start("00"), data.outcome("00")
    assert all(redis_client.ttl(key) > TTL_SECONDS - 60 for key in redis_client.scan_iter())


READS = {
    KEYS.reducer(): lambda data: data.reducer(),
    KEYS.pool(): lambda data: data.pool(),
    KEYS.posterior("00"): lambda data: data.start("00"),
    KEYS.result("00"): lambda data: data.outcome("00"),
    KEYS.prepare_state(): lambda data: data.prepared(),
}
BAD = [b"", b"\x00", b"{", b"[]", b"{}", b"7", b'"text"', b"\xff\xfe", b"[" * 100_000]


DAMAGED = [
    pytest.param(key, value, id=f"{key.removeprefix(KEYS.prefix)}-{value[:8]!r}")
    for key in READS
    for value in BAD
    if (key, value) != (KEYS.prepare_state(), b"{}")  # every figure of prepare has a default
]


@pytest.mark.parametrize(("key", "value"), DAMAGED)
def test_damage_is_told_by_its_key(data, redis_client, key, value):
    redis_client.set(key, value)
    with pytest.raises(RunDataGone) as caught:
        READS[key](data)
    assert f"{key} in Redis is damaged" in str(caught.value)
    assert caught.value.exit_code == 66


NASTY = [
    None, True, -1, 0, 10**9, 10**400, -0.5, 2.5, 1e308, "", "text", "\ud800", [], [[]], {},
    {"a": 1},
]  # fmt: skip
NOT_FINITE = [float("nan"), float("inf"), float("-inf")]


def _leaves(value, path=()):
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _leaves(inner, (*path, place))


def _replaced(document, path, value):
    if not path:
        return value
    copy = json.loads(json.dumps(document))
    here = copy
    for part in path[:-1]:
        here = here[part]
    here[path[-1]] = value
    return copy


DOCUMENTS = {
    KEYS.pool(): POOL.to_json(),
    KEYS.posterior("00"): {"choice": {"plan": 1}, "prior": START.prior.to_json()},
    KEYS.result("00"): result_document(outcome_of("00"), figures_of(outcome_of("00"))),
    KEYS.prepare_state(): PrepareResult(records=4, imputed=["a"]).dump(),
}


@pytest.mark.parametrize("key", DOCUMENTS, ids=lambda key: key.removeprefix(KEYS.prefix))
def test_any_value_in_any_place_is_read_or_told(data, redis_client, key):
    document = DOCUMENTS[key]
    refused = 0
    for path in _leaves(document):
        for value in NASTY:
            redis_client.set(key, json.dumps(_replaced(document, path, value)))
            try:
                READS[key](data)
            except RunDataGone:
                refused += 1
        for value in NOT_FINITE:
            redis_client.set(key, json.dumps(_replaced(document, path, value)))
            with pytest.raises(RunDataGone):
                READS[key](data)
    assert refused > len(NASTY)


def test_a_pool_of_other_nodes_is_no_pool_of_this_run(data):
    data.put_pool(POOL)
    assert data.pool_of(["plan", "act"]) == POOL
    for nodes in (["plan"], ["act", "plan"], ["plan", "act", "more"]):
        with pytest.raises(RunDataGone, match="it is of other nodes"):
            data.pool_of(nodes)


def test_a_start_of_other_records_is_told(data):
    data.put_start("00", START)
    assert data.start("00", validation=2).choice == START.choice
    with pytest.raises(RunDataGone, match="is over 2 records"):
        data.start("00", validation=3)


def test_a_key_of_another_type_is_damage(data, redis_client):
    for key, read in READS.items():
        redis_client.rpush(key, "x")
        with pytest.raises(RunDataGone, match="another type"):
            read(data)


def _without(document, path):
    copy = json.loads(json.dumps(document))
    here = copy
    for part in path[:-1]:
        here = here[part]
    del here[path[-1]]
    return copy


@pytest.mark.parametrize(
    "path",
    [
        ["figures"],
        ["outcome"],
        ["outcome", "trials", 0, "score"],
        ["outcome", "posterior", "gains"],
    ],
    ids=lambda path: ".".join(map(str, path)),
)
def test_a_result_that_lacks_a_part_is_damaged(data, redis_client, path):
    document = result_document(outcome_of("00"), figures_of(outcome_of("00")))
    redis_client.set(KEYS.result("00"), json.dumps(_without(document, path)))
    with pytest.raises(RunDataGone, match="is damaged"):
        data.outcome("00")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_a_flipped_or_cut_byte_is_read_or_told(data, redis_client, source):
    written = POOL.to_bytes()
    place = source.draw(st.integers(0, len(written) - 1))
    changed = bytearray(written)
    changed[place] = source.draw(st.integers(0, 255))
    cut = source.draw(st.integers(0, len(written)))
    redis_client.set(KEYS.pool(), bytes(changed[:cut]))
    with contextlib.suppress(RunDataGone):  # any other error would be the Job's end
        assert isinstance(data.pool(), CandidatePool)


def test_a_missing_pool_means_that_the_run_is_gone(data):
    with pytest.raises(RunDataGone, match="is no longer in Redis") as caught:
        data.pool()
    assert KEYS.pool() in str(caught.value)


def test_what_is_too_large_is_not_parsed(data, redis_client, monkeypatch):
    monkeypatch.setattr(run_data, "MAX_BYTES", 100)
    redis_client.set(KEYS.pool(), POOL.to_bytes())
    with pytest.raises(RunDataGone, match="larger than 100 bytes"):
        data.pool()


def test_a_redis_that_is_away_is_no_lost_run():
    away = RunData(closed_redis(), KEYS)
    for read in READS.values():
        with pytest.raises(ServiceUnavailable, match="Redis failed"):
            read(away)
    for write in (lambda: away.put_pool(POOL), away.clean_up):
        with pytest.raises(ServiceUnavailable, match="Redis failed"):
            write()


def test_a_full_redis_refuses_and_is_told(data, redis_client):
    data.put_reducer(b"small")
    redis_client.config_set("maxmemory-policy", "noeviction")
    redis_client.config_set("maxmemory", 1)
    try:
        with pytest.raises(ServiceUnavailable) as caught:
            data.put_pool(POOL)
    finally:
        redis_client.config_set("maxmemory", 0)
    assert "maxmemory" in caught.value.mend


@pytest.mark.parametrize("uid", ["u-1", "*", "[a-z]", "?-1", "\\"], ids=str)
def test_cleaning_up_takes_the_runs_own_keys_only(redis_client, uid):
    mine = RunData(redis_client, RunKeys(uid, 3))
    mine.put_pool(POOL)
    mine.put_start("00", START)
    others = ["cascade:{a}:3:pool", "cascade:{x-1}:3:pool", f"cascade:{{{uid}}}:4:pool"]
    mine.put_program(b"{}")
    others += [
        RunKeys(uid, 3).program(),
        f"cascade:{{{uid}}}:31:pool",
        "cascade:cache:team-a:1",
        "foreign",
    ]
    for key in others:
        redis_client.set(key, b"x", keepttl=True)
    assert mine.clean_up() == 2
    assert 0 < redis_client.ttl(RunKeys(uid, 3).program()) <= TTL_SECONDS
    assert {key.decode() for key in redis_client.scan_iter()} == set(others)
