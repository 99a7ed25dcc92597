"""From a status and live figures to what a reader sees."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cascade_operator.api.exit_codes import ExitCode
from cascade_operator.api.records import CallFigures, Progress
from cascade_operator.api.session import TrainingSession
from cascade_operator.api.status import TrainingSessionStatus
from cascade_operator.cli.snapshot import outcome_view, uses_embedded_model, view_of
from cascade_operator.local.servers.chat import CHAT_MODEL_NOTE
from cascade_operator.local.session_run import RunOutcome, RunSnapshot

START = datetime(2026, 11, 23, 20, 31, tzinfo=UTC)
MI = 2**20


def session(**task):
    return TrainingSession.model_validate(
        {
            "apiVersion": "cascade-operator.dev/v1alpha1",
            "kind": "TrainingSession",
            "metadata": {"name": "tool-calls"},
            "spec": {"traces": {"file": "traces.jsonl"}, "models": {"task": task}},
        }
    )


def status(**changes):
    value = {
        "phase": "Training",
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Training",
                "message": "1 of 2 groups finished",
                "lastTransitionTime": "2026-11-23T20:32:00Z",
            },
            {
                "type": "Complete",
                "status": "False",
                "reason": "Training",
                "message": "not yet",
                "lastTransitionTime": "2026-11-23T20:32:00Z",
            },
        ],
        "run": {
            "number": 2,
            "sessionId": "20261123T203100Z",
            "specHash": "v1-0123456789abcdef",
            "startTime": "2026-11-23T20:31:00Z",
            "warmStartedFrom": "20261122T080000Z",
        },
        "progress": {"percent": 40, "estimatedRemainingSeconds": 90, "modelCalls": 10},
        "groups": [
            {
                "name": "00",
                "nodes": ["agent-00-draft"],
                "phase": "Succeeded",
                "attempt": 1,
                "trials": 12,
                "baseline": "0.5000",
                "score": "0.6000",
                "heldOut": "0.5500",
                "reason": "Converged",
                "memoryLimit": "1Gi",
                "peakMemory": "200Mi",
            },
            {
                "name": "01",
                "nodes": ["agent-10-review"],
                "phase": "Running",
                "attempt": 2,
                "memoryLimit": "512Mi",
            },
        ],
    } | changes
    # Through JSON, as from an API server: times are no strings in strict Python mode.

    return TrainingSessionStatus.model_validate_json(json.dumps(value))


def look(state, progress=None, notes=()):
    snapshot = RunSnapshot(state, progress or {}, {}, notes)
    return view_of(snapshot, session(), START + timedelta(seconds=65))


LIVE = Progress(
    name="01",
    stage=43,
    done=4,
    total=40,
    baseline=0.5,
    score=0.52,
    memory=180 * MI,
    memory_limit=512 * MI,
    calls=CallFigures(model_calls=30, cache_hits=90, input_tokens=1000, output_tokens=200),
)


def test_a_finished_group_shows_its_final_figures():
    view = look(status())
    done = view.groups[0]
    assert (done.name, done.phase, done.reason) == ("draft", "Succeeded", "Converged")
    assert (done.trials, done.baseline, done.best, done.held_out) == (12, 0.5, 0.6, 0.55)
    assert (done.peak, done.limit) == (200 * MI, 1024 * MI)


def test_a_running_group_shows_live_figures():
    running = look(status(), {"01": LIVE}).groups[1]
    assert (running.trials, running.baseline, running.best) == (4, 0.5, 0.52)
    assert (running.peak, running.limit) == (180 * MI, 512 * MI)


def test_without_live_figures_a_running_group_shows_none():
    running = look(status()).groups[1]
    assert (running.trials, running.best, running.peak, running.limit) == (
        None,
        None,
        None,
        512 * MI,
    )


@pytest.mark.parametrize(
    ("reason", "phase"),
    [
        *[("", "Running"), ("Queued", "Held"), ("Disrupted", "Pending")],
        *[("Unschedulable", "Pending"), ("ImageUnavailable", "Pending")],
    ],
)
def test_a_group_whose_job_does_not_run_is_not_shown_as_running(reason, phase):
    groups = [group.model_dump(by_alias=True) for group in status().groups]
    state = status(groups=[groups[0], {**groups[1], "reason": reason}])
    assert look(state).groups[1].phase == phase


def test_a_suspended_session_has_no_running_group():
    assert look(status(phase="Suspended")).groups[1].phase == "Pending"


def test_live_figures_of_a_finished_group_change_nothing():
    stale = LIVE.model_copy(update={"name": "00", "score": 0.1})
    assert look(status(), {"00": stale}).groups[0].best == 0.6


def test_calls_are_the_higher_of_status_and_live_figures():
    assert look(status()).calls.model_calls == 10
    calls = look(status(), {"01": LIVE}).calls
    assert (calls.model_calls, calls.cache_hits, calls.tokens) == (30, 90, 1200)


def test_calls_of_a_group_outlive_its_live_figures():
    known = status()
    groups = [{**g, "calls": {"modelCalls": 7, "memoryHits": 3}} for g in known.dump()["groups"]]
    after = TrainingSessionStatus.model_validate({**known.dump(), "groups": groups})
    first, second = look(after, {"01": LIVE}).groups[:2]
    assert (first.calls.model_calls, first.calls.saved_calls) == (7, 3)
    assert (second.calls.model_calls, second.calls.saved_calls) == (30, 90)


def test_the_run_its_time_and_its_message():
    view = look(status())
    assert (view.run, view.session_id, view.phase) == (2, "20261123T203100Z", "Training")
    assert (view.elapsed, view.percent, view.remaining) == (65, 40, 90)
    assert view.warm_started_from == "20261122T080000Z"
    assert view.message == "1 of 2 groups finished"


def test_a_false_condition_says_nothing():
    (_, false) = status().model_dump(mode="json", by_alias=True)["conditions"]
    assert look(status(conditions=[false])).message == ""


@pytest.mark.parametrize(
    ("phase", "name", "step"),
    [
        pytest.param("Preparing", "prepare", "12 embed 40/60 (third batch)", id="prepare"),
        pytest.param("Archiving", "archive", "12 embed 40/60 (third batch)", id="archive"),
        pytest.param("Training", "prepare", "", id="prepare-is-over"),
    ],
)
def test_the_running_stage_says_its_step(phase, name, step):
    working = Progress(name=name, stage=12, done=40, total=60, note="third batch")
    assert look(status(phase=phase), {name: working}).step == step


def test_a_session_that_no_one_has_looked_at_is_pending():
    view = look(TrainingSessionStatus())
    assert (view.phase, view.run, view.groups, view.elapsed) == ("Pending", 0, (), None)


def test_the_end_keeps_time_best_attribution_and_notes():
    state = status(
        phase="Complete",
        run=status().run.model_dump(mode="json", by_alias=True)
        | {"completionTime": "2026-11-23T20:41:00Z"},
        best={"group": "00", "score": "0.6000", "heldOut": "0.5500", "baselineHeldOut": "0.5000"},
        attribution=[
            {"node": "agent-00-draft", "value": "0.0300", "low": "-0.0100", "high": "0.0500"}
        ],
        archives=[{"groupSize": 1, "path": "default/x.tar.zst", "sha256": "a" * 64, "bytes": 9}],
    )
    last = RunSnapshot(state, {}, {}, (CHAT_MODEL_NOTE, "a note"))
    outcome = RunOutcome(state, ExitCode.OK, (Path("/volumes/x.tar.zst"),), "20261123T203100Z")
    view = outcome_view(outcome, [last], session(), START + timedelta(days=1))
    assert view.elapsed == 600
    assert (view.best.name, view.best.held_out) == ("draft", 0.55)
    assert [(a.value, a.evidence) for a in view.attribution] == [(0.03, False)]
    assert [(a.path, a.size) for a in view.archives] == [("/volumes/x.tar.zst", 9)]
    assert view.notes == ("a note",)


@pytest.mark.parametrize(
    ("task", "embedded"),
    [
        pytest.param({}, True, id="nothing-said"),
        pytest.param({"endpoint": "embedded:chat"}, True, id="said"),
        pytest.param({"endpoint": "http://ollama:11434"}, False, id="a-server"),
    ],
)
def test_whether_the_embedded_model_answers(task, embedded):
    assert uses_embedded_model(session(**task)) is embedded
