"""What a run says of its model calls is what the model's server counted."""

from __future__ import annotations

import json
import re

import pytest

from cascade_operator.api.calls import CallFigures
from fakes.cascade_cli import start_cascade
from fakes.ticket_runs import KEYS, ticket_session, write_session

pytestmark = [pytest.mark.process]

JOBS = {"prepare": "tickets-r1-prepare"} | {
    key: f"tickets-r1-{key.replace('_', '-')}" for key in KEYS
}


def parts(run):
    """Each part's figures, as status has them."""
    status = run.status
    found = {"prepare": status["run"]["prepare"]["calls"]}
    found |= {group["name"]: group["calls"] for group in status["groups"]}
    return {name: CallFigures.model_validate(calls) for name, calls in found.items()}


def total(run):
    figures = CallFigures()
    for one in parts(run).values():
        figures = figures.plus(one)
    return figures


def test_calls_and_tokens_are_the_servers_own(undisturbed):
    figures = total(undisturbed.run)
    assert (figures.model_calls, figures.tokens) == (undisturbed.chats, undisturbed.tokens)
    assert figures.failed_attempts == 0
    progress = undisturbed.run.status["progress"]
    assert (progress["modelCalls"], progress["tokens"]) == (undisturbed.chats, undisturbed.tokens)
    assert progress["savedCalls"] == figures.saved_calls > figures.cache_hits > 0
    assert progress["savedTokens"] == figures.saved_tokens > 0


def test_each_jobs_last_word_stands_in_status(undisturbed):
    for name, calls in parts(undisturbed.run).items():
        said = undisturbed.run.message(JOBS[name])["calls"]
        assert CallFigures.model_validate(said) == calls, name


def test_every_call_a_search_made_is_one_of_the_three_kinds(undisturbed):
    """A group calls each node of the cascade for each record of each trial; some answers fail."""
    archive = undisturbed.run.archive()
    for key, group in archive.groups.items():
        outcome = group.result["outcome"]
        records = sum(len(trial["scores"]) for trial in outcome["trials"])
        held_out = len(outcome["heldOutScores"]) + len(outcome["baselineHeldOutScores"])
        same = outcome["choice"] == dict.fromkeys(outcome["choice"], 0)
        records += held_out // 2 if same else held_out
        calls = parts(undisturbed.run)[key]
        probes = 1
        assert calls.logical_calls - probes == 3 * records, key
        assert calls.parse_failures == 0


def test_the_summary_shows_them(undisturbed):
    table = undisturbed.ended.text
    figures = total(undisturbed.run)
    (line,) = [line for line in table.splitlines() if line.strip().startswith("in all")]
    assert int(re.findall(r"\d+", line)[0]) == figures.model_calls == undisturbed.chats
    assert sum(line.strip().startswith("prepare ") for line in table.splitlines()) == 1


def test_failed_attempts_are_what_the_server_saw_beside_the_calls(server, tmp_path):
    # No output is embedded, so that whatever fails once chats have begun is a chat.
    document = ticket_session(
        server.url, groups={"include": [["decide"]]}, objective={"metric": "JSONFields"}
    )
    session = write_session(tmp_path, document)
    before = server.chats
    command = ("run", session, "--state", tmp_path / "state", "--output", "json")
    with start_cascade(*command) as started:
        started.until(lambda: server.chats > before)
        server.fail("500", 2)
        ended = started.end()
    assert ended.code == 0, ended.text
    status = json.loads(ended.text.splitlines()[-1])["status"]
    calls = [status["run"]["prepare"]["calls"], *(group["calls"] for group in status["groups"])]
    counted = [CallFigures.model_validate(one) for one in calls]
    assert sum(one.failed_attempts for one in counted) == 2
    asked = sum(one.model_calls + one.failed_attempts for one in counted)
    assert asked == server.chats - before
