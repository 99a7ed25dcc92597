"""The operator's metrics: what a status write counts, and that no label grows without bound."""

import asyncio
import re
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.api.calls import CallFigures
from cascade_operator.api.status import (
    Condition,
    ConditionType,
    GroupPhase,
    GroupStatus,
    Phase,
    ProgressStatus,
    RunStatus,
    StageStatus,
    TrainingSessionStatus,
)
from cascade_operator.control.domain.model import Event, EventType
from cascade_operator.control.telemetry.metrics import OperatorMetrics
from fakes.cluster import START, FakeCluster, Outcome, group_result, spec_of

LATER = START + timedelta(hours=1)


def value(metrics, name, **labels):
    return metrics.registry.get_sample_value(f"cascade_operator_{name}", labels)


def run(number=1, *, ended=False, **changes):
    return RunStatus(
        number=number,
        session_id="20260301T120000Z",
        spec_hash="x",
        start_time=START,
        completion_time=LATER if ended else None,
        **changes,
    )


def status(run=None, **changes):
    return TrainingSessionStatus(run=run, **changes)


def calls(model_calls=0, tokens=0, cache_hits=0):
    return ProgressStatus(model_calls=model_calls, tokens=tokens, cache_hits=cache_hits)


def condition(kind, state="True"):
    return Condition(type=kind, status=state, reason="X", last_transition_time=LATER)


def group(limit, name="00"):
    return GroupStatus(name=name, nodes=["n"], memory_limit=limit)


def written(*steps, events=()):
    metrics = OperatorMetrics()
    for before, after in pairwise(steps):
        metrics.status_written(before, after, events)
    return metrics


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param([None, (1, 5), (1, 5), (1, 9)], 9, id="a run counts up once"),
        pytest.param([(1, 5), (1, 9)], 4, id="what another process counted is not counted"),
        pytest.param([(1, 9), (2, 0), (2, 4)], 4, id="a new run starts from 0"),
        pytest.param([(1, 9), (2, 3)], 3, id="a new run with figures at once"),
        pytest.param([(1, 9), (1, 4)], 0, id="a figure that fell takes nothing away"),
    ],
)
def test_calls_tokens_and_hits_are_differences_within_a_run(steps, expected):
    made = [
        status() if s is None else status(run(s[0]), progress=calls(s[1], s[1] * 10, s[1] * 100))
        for s in steps
    ]
    metrics = written(*made)
    assert value(metrics, "model_calls_total") == expected
    assert value(metrics, "tokens_total") == expected * 10
    assert value(metrics, "cache_hits_total") == expected * 100


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 50)), min_size=1, max_size=12))
def test_counters_are_the_sum_of_each_runs_last_figure(figures):
    figures = sorted(figures)
    last = dict(figures)
    metrics = written(status(), *(status(run(n), progress=calls(c)) for n, c in figures))
    assert value(metrics, "model_calls_total") == sum(last.values())


COMPLETE = (condition(ConditionType.COMPLETE), condition(ConditionType.FAILED, "False"))
FAILED = (condition(ConditionType.COMPLETE, "False"), condition(ConditionType.FAILED))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(
            status(run()), status(run(ended=True), conditions=COMPLETE), ["Complete"], id="complete"
        ),
        pytest.param(
            status(run()), status(run(ended=True), conditions=FAILED), ["Failed"], id="failed"
        ),
        pytest.param(
            status(run(ended=True), conditions=COMPLETE),
            status(run(ended=True), conditions=COMPLETE),
            [],
            id="it had ended before",
        ),
        pytest.param(status(run()), status(run(2)), ["Replaced"], id="replaced"),
        pytest.param(status(run(ended=True)), status(run(2)), [], id="the next run"),
        pytest.param(status(), status(run()), [], id="the first run"),
    ],
)
def test_runs_finished(before, after, expected):
    metrics = written(before, after)
    found = {
        phase: value(metrics, "runs_finished_total", phase=phase)
        for phase in ("Complete", "Failed", "Replaced")
    }
    assert found == {p: (1 if p in expected else 0) for p in found}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(
            status(run(), groups=[group("1Gi"), group("1Gi", "01")]),
            status(run(), groups=[group("1536Mi"), group("1Gi", "01")]),
            1,
            id="a group",
        ),
        pytest.param(
            status(run(prepare=StageStatus(memory_limit="1Gi"))),
            status(run(prepare=StageStatus(memory_limit="2Gi"))),
            1,
            id="a stage",
        ),
        pytest.param(
            status(run(), groups=[group("1Gi")]),
            status(run(2), groups=[group("2Gi")]),
            0,
            id="a new run starts higher",
        ),
        pytest.param(
            status(run(), groups=[group("much")]),
            status(run(), groups=[group("2Gi")]),
            0,
            id="an edited status is no error",
        ),
    ],
)
def test_escalations(before, after, expected):
    assert value(written(before, after), "memory_escalations_total") == expected


@pytest.mark.parametrize(
    ("outcome", "oom_kills"),
    [
        pytest.param(Outcome(137, "OOMKilled"), 1, id="the kernel"),
        pytest.param(Outcome(75), 0, id="the worker's own gate"),
    ],
)
def test_an_oom_kill_is_counted_although_the_next_attempt_starts_in_the_same_step(
    outcome, oom_kills
):
    metrics = OperatorMetrics()
    cluster = FakeCluster(spec=spec_of(1))
    told = 0
    before = cluster.status

    async def settle():
        nonlocal before, told
        await cluster.settle()
        metrics.status_written(before, cluster.status, cluster.events[told:])
        before, told = cluster.status, len(cluster.events)

    async def scenario():
        await settle()
        cluster.end(cluster.live()[0])
        await settle()
        cluster.end(cluster.live()[0], outcome)
        await settle()
        result = group_result("00", calls=CallFigures(model_calls=7, input_tokens=30))
        cluster.end(cluster.live()[0], Outcome(message=result))
        await settle()
        cluster.end(cluster.live()[0])
        await settle()

    asyncio.run(scenario())
    assert cluster.status.phase is Phase.COMPLETE
    assert value(metrics, "oom_kills_total") == oom_kills
    assert value(metrics, "memory_escalations_total") == 1
    assert value(metrics, "events_total", reason="MemoryRaised") == 1
    assert value(metrics, "runs_finished_total", phase="Complete") == 1
    assert value(metrics, "model_calls_total") == 7
    assert value(metrics, "tokens_total") == 30


def test_labels_are_bounded():
    metrics = OperatorMetrics()
    for number in range(500):
        event = Event(EventType.NORMAL, f"Reason{number}", "")
        metrics.status_written(status(), status(), [event])
        metrics.requested("get", f"resource{number}", 200, 0.01)
    text = metrics.render().decode()
    assert len(re.findall(r"^cascade_operator_events_total{", text, re.MULTILINE)) == 65
    assert value(metrics, "events_total", reason="Other") == 500 - 64
    assert value(metrics, "api_requests_total", verb="get", resource="Other", code="200") == 436


def test_gauges_are_read_when_metrics_are():
    metrics = OperatorMetrics()
    waiting = [1, 2]
    sessions = {str(Phase.TRAINING): 2}
    metrics.observe_queue(lambda: len(waiting), lambda: 3.5)
    metrics.observe_phases(lambda: sessions, lambda: {str(GroupPhase.FAILED): 4})
    metrics.leads(True)
    waiting.pop()
    assert value(metrics, "queue_depth") == 1
    assert value(metrics, "queue_oldest_seconds") == 3.5
    assert value(metrics, "leader") == 1
    assert value(metrics, "sessions", phase="Training") == 2
    assert value(metrics, "sessions", phase="Complete") == 0
    assert value(metrics, "groups", phase="Failed") == 4


def test_the_loop_and_its_requests_are_counted_and_timed():
    metrics = OperatorMetrics()
    metrics.reconciled("written", 0.02)
    metrics.requested("post", "jobs", 201, 0.3)
    metrics.requested("post", "jobs", 0, 30)
    metrics.watched("Job", None)
    metrics.watched("Job", "MODIFIED")
    metrics.pruned("Job", 3)
    metrics.waited(0.7)
    assert value(metrics, "reconciles_total", result="written") == 1
    assert value(metrics, "reconcile_seconds_sum") == 0.02
    assert value(metrics, "api_requests_total", verb="post", resource="jobs", code="0") == 1
    assert value(metrics, "api_request_seconds_count", verb="post", resource="jobs") == 2
    assert value(metrics, "watch_events_total", kind="Job", type="LISTED") == 1
    assert value(metrics, "resync_pruned_total", kind="Job") == 3
    assert value(metrics, "queue_wait_seconds_bucket", le="0.5") == 0
    assert value(metrics, "queue_wait_seconds_bucket", le="1.0") == 1


def test_two_operators_share_no_figures():
    one, other = OperatorMetrics(), OperatorMetrics()
    one.pruned("Job", 1)
    assert value(other, "resync_pruned_total", kind="Job") is None
