"""``cascade plan`` and a run's own estimate, held against what the model's server counted."""

from __future__ import annotations

import json

import pytest

from cascade_operator.api.estimate import read_estimate
from fakes.cascade_cli import cascade
from fakes.ticket_runs import ticket_session, write_session

pytestmark = [pytest.mark.process]

FACTOR = 1.5
"""How far the expected calls may lie from those counted."""


def test_a_run_estimates_itself_and_says_how_far_it_was_off(undisturbed):
    found = read_estimate(undisturbed.run.archive().documents["65_estimate.json"])
    calls, took = found.model_calls, undisturbed.chats
    assert calls.at_most >= took
    assert took / FACTOR <= calls.likely <= took * FACTOR
    assert set(found.groups) == {"00", "02", "00_02", "00_01_02"}
    assert found.basis.candidates == {"classify": 4, "extract": 4, "decide": 4}
    assert found.basis.seconds_per_call
    assert found.seconds
    progress = undisturbed.run.status["progress"]
    assert progress["tokens"] <= found.tokens.at_most
    assert progress["tokens"] / FACTOR <= found.tokens.likely <= progress["tokens"] * FACTOR
    assert f"estimated {calls.likely} model calls, took {took} (" in undisturbed.ended.text


def test_the_archive_says_what_was_expected(undisturbed):
    ended = cascade("archive", "show", undisturbed.run.archive_files()[0])
    assert "the run was estimated to take " in ended.text


def test_without_a_call_a_plan_counts_what_the_run_takes(undisturbed, server, tmp_path):
    before, state = server.stats(), tmp_path / "state"
    ended = cascade(
        *("plan", undisturbed.session, "--no-calls", "--state", state, "--output", "json")
    )
    assert ended.code == 0, ended.text
    found = json.loads(ended.text.splitlines()[-1])
    assert found["modelCalls"]["atMost"] >= undisturbed.chats
    assert undisturbed.chats / FACTOR <= found["modelCalls"]["likely"]
    assert found["modelCalls"]["likely"] <= undisturbed.chats * FACTOR
    assert found["basis"]["prepareCalls"]["likely"] == 28  # 6 x 3 base runs, 3 x 3 proposals, probe
    assert "seconds" not in found
    assert server.stats() == before
    assert not state.exists()


def test_a_plan_asks_the_server_no_more_than_it_said(undisturbed, server, tmp_path):
    before, state = server.chats, tmp_path / "state"
    ended = cascade("plan", undisturbed.session, "--state", state)
    assert ended.code == 0, ended.text
    assert "asking the task model 6 short calls at most" in ended.text
    assert server.chats - before == 5  # the server takes schemas: one probe answers that
    assert "5 calls asked" in ended.text
    assert not state.exists()


@pytest.mark.parametrize(
    ("spec", "code", "said"),
    [
        pytest.param({"traces": {"file": "absent.jsonl"}}, 65, "absent.jsonl", id="no traces"),
        pytest.param({"parallelism": 0}, 64, "spec.parallelism", id="invalid"),
        pytest.param({}, 69, "127.0.0.1:9", id="server away"),
    ],
)
def test_it_ends_as_a_run_would(tmp_path, spec, code, said):
    document = ticket_session("http://127.0.0.1:9", **spec)
    ended = cascade("plan", write_session(tmp_path, document), "--state", tmp_path / "state")
    assert ended.code == code, ended.text
    assert said in ended.text
    assert not (tmp_path / "state").exists()


def test_a_budget_is_seen_to_cut_the_run_off(server, tmp_path):
    document = ticket_session(server.url, budget={"maxModelCalls": 90})
    ended = cascade(*("plan", write_session(tmp_path, document), "--no-calls", "--output", "json"))
    found = json.loads(ended.text.splitlines()[-1])
    assert found["modelCalls"]["atMost"] <= 90
    assert found["cutCalls"] > 0
    assert "CallBudget" in {group["reason"] for group in found["groups"].values()}
