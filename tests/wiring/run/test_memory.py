"""A group with too little memory is tried again with more, and ends well."""

from __future__ import annotations

import pytest

from cascade_operator.api.quantity import parse_quantity
from fakes.cascade_cli import cascade
from fakes.ticket_runs import TicketRun, ticket_session, write_session

pytestmark = [pytest.mark.process]

LIMIT = "90Mi"  # a worker needs about 106


@pytest.fixture(scope="module")
def escalated(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("memory")
    session = ticket_session(
        server.url,
        groups={"include": [["classify"]]},
        resources={"group": {"limits": {"memory": LIMIT}}},
        memory={"thresholdPercent": 80},
        backoffLimit=0,
    )
    run = TicketRun(folder / "state")
    ended = cascade("run", write_session(folder, session), "--state", run.state)
    return run, ended


def test_the_group_ends_well_with_more_memory(escalated):
    run, ended = escalated
    assert ended.code == 0, ended.text
    group = run.group("00")
    assert group["phase"] == "Succeeded"
    assert group["attempt"] > 1
    # Without a failure counted: the session allows none.
    assert group["failures"] == 0
    limit = parse_quantity(group["memoryLimit"])
    assert parse_quantity(LIMIT) < limit <= 4 * parse_quantity(LIMIT)
    assert parse_quantity(group["peakMemory"]) < 0.8 * limit


def test_the_session_says_that_memory_was_short(escalated):
    run, _ = escalated
    conditions = {c["type"]: c for c in run.status["conditions"]}
    limited = conditions["MemoryLimited"]
    assert (limited["status"], limited["reason"]) == ("True", "LimitRaised")
    assert run.group("00")["memoryLimit"] in limited["message"]
    assert conditions["Complete"]["status"] == "True"


def test_each_step_up_is_an_event(escalated):
    run, _ = escalated
    raised = [line for line in run.logs()["events"].splitlines() if "MemoryRaised" in line]
    assert len(raised) == run.group("00")["attempt"] - 1
    assert f"group 00 ran out of memory at {LIMIT}; again with 135Mi" in raised[0]


def test_each_attempt_has_a_log_and_the_last_one_the_trials(escalated):
    run, _ = escalated
    attempts = run.group("00")["attempt"]
    assert run.trials(f"tickets-r1-00-a{attempts}") == run.group("00")["trials"] > 0
