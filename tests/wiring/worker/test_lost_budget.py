"""A budget that was counted in a Redis that is lost is not spent a second time."""

from __future__ import annotations

import json

import pytest

from cascade_operator.api.records import Progress
from cascade_operator.api.status import StopReason
from fakes.ticket_workers import TicketWorkers, group_arguments


@pytest.fixture
def limited(server, reference, redis_socket, tmp_path):
    """A run of a hundred calls."""
    workers = TicketWorkers.at(
        tmp_path / "limited", redis_socket, server.url, budget={"maxModelCalls": 100}
    )
    workers.load(reference.prepared)
    return workers


def test_jobs_publish_the_counters(limited, reference):
    limited.inside(*group_arguments("00"))
    record = limited.client.get(limited.keys.progress("00"))
    spent = Progress.model_validate_json(record).spent
    counted = int(limited.client.get(limited.keys.counter("calls")))
    assert counted > reference.chats[0]
    assert spent.calls == counted
    assert spent.tokens == int(limited.client.get(limited.keys.counter("tokens")))
    assert json.loads(record)["spent"]["calls"] == counted


def test_what_status_knows_counts_for_a_group(limited, server):
    before = server.chats
    result = limited.inside(*group_arguments("00"), "--spent", "100,0,0")
    assert result.reason is StopReason.CALL_BUDGET
    # Others' answers may still be taken from the cache: not one call is made.
    assert server.chats == before


def test_what_status_knows_counts_for_prepare(limited, server):
    limited.client.flushall()
    before = server.chats
    result = limited.inside("prepare", "--spent", "100,0,0")
    assert server.chats == before
    assert result.records == 16
    assert set(result.candidates) == {"classify", "extract", "decide"}
    assert int(limited.client.get(limited.keys.counter("calls"))) == 100


def test_a_lower_mark_takes_nothing_back(limited):
    limited.client.set(limited.keys.counter("calls"), 90)
    limited.inside(*group_arguments("00"), "--spent", "3,4,5")
    assert int(limited.client.get(limited.keys.counter("calls"))) >= 90
    assert int(limited.client.get(limited.keys.counter("cost"))) == 5


@pytest.mark.parametrize("text", ["1,2", "a,b,c", "-1,0,0", ""])
def test_a_mark_that_is_none_is_a_wrong_command_line(limited, text, capsys):
    with pytest.raises(SystemExit) as caught:
        limited.inside(*group_arguments("00"), f"--spent={text}")
    assert caught.value.code == 2
    assert "--spent" in capsys.readouterr().err
