"""The run's own estimate: what an earlier attempt said stands, and its failure costs nothing."""

from __future__ import annotations

import logging

import pytest

from cascade_operator.api.keys import RunKeys
from cascade_operator.api.records import SplitCounts
from cascade_operator.archive.members import ESTIMATE
from cascade_operator.training.calls.meter import CallMeter
from cascade_operator.training.estimate.ask import speed_of
from cascade_operator.training.pool import CandidatePool
from cascade_operator.worker.calls import open_calls
from cascade_operator.worker.foresight import BaseRuns, put_estimate
from cascade_operator.worker.run_data import RunData
from fakes.worker_jobs import job_context


@pytest.fixture
def job(tmp_path, valkey_socket, redis_client):
    context = job_context(tmp_path, valkey_socket)
    return context, RunData(redis_client, RunKeys(context.config.uid, context.config.run))


def put(context, data):
    put_estimate(
        context,
        open_calls(context, "prepare"),
        data,
        CandidatePool({}),
        split=SplitCounts(),
        base_runs=None,
        finished=(),
        seconds=1.0,
    )


def test_an_estimate_that_cannot_be_made_costs_no_run_its_preparation(job, caplog):
    context, data = job  # its traces were never written
    with caplog.at_level(logging.INFO):
        put(context, data)
    assert ESTIMATE not in data.documents()
    assert "no estimate: " in caplog.text


def test_what_an_earlier_attempt_estimated_stands(job, caplog):
    context, data = job
    data.put_document(ESTIMATE, {"version": 1, "seconds": 7.0})
    with caplog.at_level(logging.INFO):
        put(context, data)
    assert data.documents()[ESTIMATE] == b'{"seconds":7.0,"version":1}'
    assert "no estimate" not in caplog.text


def test_base_runs_end_where_the_first_proposal_begins():
    class Proposer:
        def propose(self, task):
            meter.called(9.0, 500, 50)
            return "better"

    meter = CallMeter()
    meter.called(1.0, 7, 7)  # a probe, before the base runs
    runs = BaseRuns(Proposer(), meter)
    for _ in range(4):
        meter.called(0.5, 100, 10)
    assert (runs.propose(None), runs.propose(None)) == ("better", "better")
    speed = speed_of(runs.before, runs.after, wall=1.0, prompts=300.0, answers=80.0)
    assert (speed.seconds, speed.input, speed.output) == (0.25, 100, 10)
    assert speed.characters_per_token == 3.0
    assert speed.answer_factor == 0.5  # 80 characters would be 20 tokens


def test_calls_that_the_cache_answered_show_no_speed():
    meter = CallMeter()
    assert (
        speed_of(meter.reading(), meter.reading(), wall=1.0, prompts=1.0, answers=1.0).seconds
        is None
    )
