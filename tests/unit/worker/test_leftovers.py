"""What earlier attempts left in Redis: kept where it fits, removed where no Job could use it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from cascade_operator.api.errors import RunDataGone
from cascade_operator.archive.reader import read_archive
from cascade_operator.training.posterior import Posterior
from cascade_operator.worker.archive import run_archive
from cascade_operator.worker.leftovers import check_outcome, fitting_outcome, remove_unfit
from cascade_operator.worker.restore import restore_run
from cascade_operator.worker.run_data import GroupStart, RunData
from fakes.small_runs import archived_run, pool_of, store_records, with_result
from fakes.worker_jobs import figures_of, job_context, outcome_of

POOL = pool_of("one")
KEYS = ("00", "01", "00_01")


@pytest.fixture
def context(tmp_path, valkey_socket, redis_client):
    (tmp_path / "archives").mkdir()
    made = job_context(tmp_path, valkey_socket)
    store_records(made)
    return made


@pytest.fixture
def data(context):
    """The run's data with a pool, a result and a start of each group."""
    found = RunData(context.redis, context.keys)
    found.put_pool(POOL)
    for key in KEYS:
        outcome = outcome_of(key)
        found.put_outcome(outcome, figures_of(outcome))
        found.put_start(key, GroupStart(None, Posterior.uniform(2)))
    return found


def removed(context, data, *, pool=POOL, validation=2, keep=(), same_pool=True):
    groups = context.config.node_groups()
    return remove_unfit(data, groups, pool, validation, keep=keep, same_pool=same_pool)


def left(context):
    prefix = context.keys.result("")
    return sorted(key.decode().removeprefix(prefix) for key in context.redis.keys(f"{prefix}*"))


def test_what_fits_is_left_alone(context, data):
    assert removed(context, data) == ()
    assert left(context) == sorted(KEYS)
    assert data.start("00").prior is not None


@pytest.mark.parametrize("value", [b"", b"{", b"\x00garbage", b'{"outcome":{}}'])
def test_a_damaged_result_is_removed_and_named_and_the_others_stay(context, data, value):
    context.redis.set(context.keys.result("01"), value)
    (note,) = removed(context, data)
    assert "the result of group 01 is left out" in note
    assert left(context) == ["00", "00_01"]
    assert removed(context, data) == ()


def test_a_damaged_start_is_removed_and_the_group_begins_without(context, data):
    context.redis.set(context.keys.posterior("01"), b"{")
    (note,) = removed(context, data)
    assert "the start of group 01 is left out" in note
    assert data.start("01") == GroupStart()


def test_other_candidates_take_their_results_with_them(context, data):
    # The numbers in them would choose other programs than those that were scored.
    removed(context, data, pool=pool_of("other"), same_pool=False, keep=("01",))
    assert left(context) == ["01"]


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (replace(outcome_of("00"), choice={"plan": 7}), "candidates that do not exist"),
        (replace(outcome_of("00"), choice={"act": 1}), "candidates that do not exist"),
        (replace(outcome_of("00"), choice={}), "candidates that do not exist"),
        (outcome_of("01"), "of the group 01"),
        (replace(outcome_of("00"), record_ids=("r0",)), "on 1 validation records"),
        (replace(outcome_of("00"), trials=outcome_of("00_01").trials), "a program that does not"),
    ],
    ids=["candidate", "node", "nothing-chosen", "group", "records", "programs"],
)
def test_a_result_that_cannot_be_of_this_group_is_as_good_as_none(context, data, outcome, said):
    group = context.config.group("00")
    with pytest.raises(ValueError, match=said):
        check_outcome(outcome, group, POOL, 2)
    data.put_result("00", {"outcome": outcome.to_json(), "figures": figures_of(outcome).dump()})
    if len(outcome.record_ids) == 2:
        with pytest.raises(RunDataGone, match=said):
            fitting_outcome(data, group, POOL, 2)
    assert len(removed(context, data)) == 1
    assert left(context) == ["00_01", "01"]


def test_an_archive_job_ends_with_66_rather_than_keep_such_a_result(context, data):
    lying = replace(outcome_of("00"), choice={"plan": 7})
    data.put_result("00", {"outcome": lying.to_json(), "figures": figures_of(lying).dump()})
    with pytest.raises(RunDataGone, match="candidates that do not exist"):
        run_archive(context, final=False, groups=list(KEYS))
    assert removed(context, data)
    assert run_archive(context, final=False, groups=list(KEYS)).groups == ["00_01", "01"]


def test_a_damaged_reducer_ends_an_archive_job_with_66(context, data):
    data.put_reducer(b"PK\x03\x04 cut")
    with pytest.raises(RunDataGone, match="reducer in Redis is damaged"):
        run_archive(context, final=False, groups=list(KEYS))


TRIAL = outcome_of("00").trials[0].to_json()
STATE = {
    "version": 1, "fingerprint": "f", "proposals": [], "archived": None, "trials": [TRIAL],
    "finished": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        pytest.param({}, True, id="sound"),
        pytest.param({"trials": "many"}, False, id="malformed"),
        pytest.param({"trials": [TRIAL | {"program": [9]}]}, False, id="unknown-program"),
        pytest.param({"trials": [TRIAL | {"scores": [0.5]}]}, False, id="too-few-scores"),
        pytest.param({"trials": [TRIAL | {"rows": [0, 7]}]}, False, id="unknown-record"),
    ],
)
def test_a_running_group_is_archived_only_with_a_sound_checkpoint(context, data, change, kept):
    data.drop_result("00")
    data.checkpoints("00").save(STATE | change)
    found = run_archive(context, final=False, groups=["01", "00_01"])
    assert found.groups == ["00_01", "01"]
    names = [status.path for status in found.archives]
    assert len(names) == 2

    archive = read_archive(context.archives / found.archives[0].path)
    assert ("00" in archive.groups) is kept
    assert "01" in archive.groups


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("outcome", "choice"), {"plan": 9}),
        (("outcome", "trials", 0, "program"), [9]),
        (("outcome", "recordIds"), ["r0"]),
        (("outcome", "score"), 10**400),
        (("figures",), []),
    ],
    ids=["candidate", "program", "records", "number", "figures"],
)
def test_restoring_takes_no_result_that_lies(context, data, path, value):
    context.redis.flushall()
    archive = with_result(archived_run("20260101T000000Z"), "00", path, value)
    assert restore_run(context, data, archive) == ("01", "00_01")
    assert left(context) == ["00_01", "01"]


@pytest.mark.parametrize(
    "checkpoint", [b"[1]", b'"text"', b"7", b'{"trials":[]}', json.dumps(STATE).encode()]
)
def test_restoring_takes_any_checkpoint_and_the_search_judges_it(context, data, checkpoint):
    archive = archived_run("20260101T000000Z")
    groups = dict(archive.groups)
    groups["00"] = replace(groups["00"], checkpoint_json=checkpoint, result={})
    assert "00" not in restore_run(context, data, replace(archive, groups=groups))
    assert data.checkpoints("00").load() in (None, json.loads(checkpoint))
