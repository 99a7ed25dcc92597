"""A run whose Redis is lost goes on from its progressive archive, warm start and all."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

import pytest

from fakes.cascade_cli import (
    Ended,
    cascade,
    command_line,
    kill_process,
    start_cascade,
    until_gone,
)
from fakes.ticket_runs import TicketRun, findings

pytestmark = [pytest.mark.process, pytest.mark.faults]

ARCHIVED = ("00", "02")


@dataclass(frozen=True)
class Lost:
    """What was there before Redis was lost, what was asked afterwards, and what came of it."""

    run: TicketRun
    logs: dict[str, str]
    asked: list[dict[str, Any]]
    ended: Ended


@pytest.fixture(scope="module")
def lost(undisturbed, server, tmp_path_factory) -> Lost:
    """Loses the command and Redis while the pair of a second run is searched."""
    run = undisturbed.run.copied_to(tmp_path_factory.mktemp("lost") / "state")
    command = ("run", undisturbed.session, "--state", run.state)
    _lose_redis(run)  # with its answers: the model is asked again, so a search can be met
    with start_cascade(*command, "--retrain") as first:
        first.until(lambda: run.status["run"]["number"] == 2 and _succeeded(run, "00"))
        server.delay = 0.12
        first.until(lambda: run.status["run"].get("archivedGroups") == list(ARCHIVED))
        first.until(lambda: run.trials("tickets-r2-00-02") >= 1)
        assert not _succeeded(run, "00_02")
        until_gone(first.kill())
    server.delay = 0.0
    _lose_redis(run)
    logs, seen = run.logs(), len(server.requests)
    ended = cascade(*command)
    asked = [request.body for request in list(server.requests)[seen:] if "chat" in request.path]
    return Lost(run, logs, asked, ended)


def _lose_redis(run: TicketRun) -> None:
    shutil.rmtree(run.state / "redis")


def _succeeded(run: TicketRun, key: str) -> bool:
    return run.group(key).get("phase") == "Succeeded"


def test_the_run_is_finished(lost):
    assert lost.ended.code == 0, lost.ended.text
    status = lost.run.status
    assert (status["phase"], status["run"]["number"]) == ("Complete", 2)


def test_prepare_restores_what_the_archive_holds(lost):
    assert lost.run.message("tickets-r2-prepare-a2")["restoredGroups"] == list(ARCHIVED)


def test_archived_groups_are_not_trained_again(lost):
    after = lost.run.logs()
    for key in ARCHIVED:
        job = f"tickets-r2-{key}"
        assert after[job] == lost.logs[job]
        assert f"{job}-a2" not in after
        assert lost.run.group(key)["attempt"] == 1
    assert "GroupLost" not in after["events"]


def test_candidates_are_not_proposed_again(lost, server):
    everything = [str(request.body) for request in server.requests]
    assert any("proposed_instruction" in text for text in everything)
    assert lost.asked
    assert not [body for body in lost.asked if "proposed_instruction" in str(body)]


def test_the_result_is_that_of_a_run_that_lost_nothing(lost, retrained):
    assert findings(lost.run.archive()) == findings(retrained.run.archive())
    assert lost.run.status["run"]["warmStartedFrom"] == retrained.first.session_id


def test_redis_alone_killed_is_started_again_under_the_run(undisturbed, server, tmp_path):
    run = TicketRun(tmp_path / "state")
    server.delay = 0.05
    try:
        with start_cascade("run", undisturbed.session, "--state", run.state) as command:
            command.until(lambda: run.trials("tickets-r1-00") >= 1)
            (redis,) = [p for p in command.descendants() if "valkey-server" in command_line(p)]
            kill_process(redis.pid)
            command.until(lambda: run.trials("tickets-r1-02") >= 1)
            server.delay = 0.0
            ended = command.end()
    finally:
        server.delay = 0.0
    assert ended.code == 0, ended.text
    assert "the embedded Redis ended by itself (exit code 137) and was started again" in ended.text
    assert findings(run.archive()) == findings(undisturbed.run.archive())
    assert {group["attempt"] for group in run.status["groups"]} == {1}, "no Job has noticed"
