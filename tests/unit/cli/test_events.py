"""What happened between two looks at a session, as lines and as JSON."""

import json
from dataclasses import replace

import pytest

from cascade_operator.cli.events import changes, heartbeat
from cascade_operator.cli.plain import change_lines, heartbeat_line
from fakes.run_views import BEFORE, COMPLETE, DONE, FAILED, MI, RUNNING, TRAINING, WAITING


def kinds(before, after):
    return [event.kind for event in changes(before, after)]


def test_the_first_look_says_run_stage_and_running_groups():
    assert kinds(None, TRAINING) == ["run", "stage", "groupStarted"]
    assert change_lines(None, TRAINING) == (
        "[ 1m05s] run 2 of tool-calls, id 20261123T203100Z, 2 node groups",
        "[ 1m05s] stage: training",
        "[ 1m05s] group autogen: started (limit 512Mi)",
    )


def test_nothing_new_says_nothing():
    assert change_lines(TRAINING, replace(TRAINING, elapsed=70)) == ()


def test_figures_alone_are_no_event():
    group = replace(RUNNING, trials=9, best=0.7)
    assert kinds(TRAINING, replace(TRAINING, groups=(group, WAITING))) == []


def test_the_end_says_groups_archives_and_then_the_outcome():
    assert change_lines(TRAINING, COMPLETE) == (
        "[10m05s] group autogen: finished (Converged), 14 trials, 0.6123 -> 0.6631 (+0.0508), "
        "held-out 0.6500, 200 model calls, saved 600, memory 210Mi of 512Mi",
        "[10m05s] group baml: failed after attempt 3: MemoryGate: needs more than maxPerJob",
        "[10m05s] archive written: default/tool-calls/20261123T203100Z_size01.tar.zst (12Ki)",
        "[10m05s] stage: complete, warm start from 20261122T080000Z (1 of 2 groups failed: 01)",
    )


def test_a_retry_names_attempt_and_new_limit():
    again = replace(RUNNING, attempt=2, limit=768 * MI)
    after = replace(TRAINING, groups=(again, WAITING))
    assert change_lines(TRAINING, after) == (
        "[ 1m05s] group autogen: attempt 2 started (limit 768Mi)",
    )


def test_a_group_that_a_queue_holds_waits_and_starts_when_it_is_let_go():
    held = replace(RUNNING, phase="Held", reason="Queued", message="a queue holds its Job")
    holds = replace(TRAINING, groups=(held, WAITING))
    assert change_lines(replace(TRAINING, groups=(replace(WAITING, key="00"), WAITING)), holds) == (
        "[ 1m05s] group autogen: waits: Queued: a queue holds its Job",
    )
    assert kinds(holds, holds) == []
    assert kinds(holds, TRAINING) == ["groupStarted"]


def test_an_attempt_that_waited_for_its_node_is_a_retry_once_it_runs():
    second = replace(RUNNING, phase="Pending", reason="Unschedulable", attempt=2)
    waits = replace(TRAINING, groups=(second, WAITING))
    runs = replace(TRAINING, groups=(replace(RUNNING, attempt=2), WAITING))
    assert kinds(TRAINING, waits) == ["groupWaits"]
    assert kinds(waits, runs) == ["groupRetry"]


def test_a_group_that_runs_again_after_a_pause_is_said():
    paused = replace(TRAINING, groups=(replace(RUNNING, phase="Pending"), WAITING))
    assert kinds(paused, TRAINING) == ["groupStarted"]


def test_a_group_seen_only_when_done_is_finished_once():
    after = replace(TRAINING, groups=(DONE, WAITING))
    assert kinds(replace(TRAINING, groups=(WAITING,)), after) == ["groupFinished"]
    assert kinds(after, after) == []


def test_a_new_run_starts_over_and_repeats_no_note():
    before = replace(COMPLETE, notes=("memory is enforced by a watchdog",))
    after = replace(
        TRAINING, run=3, session_id="20261124T080000Z", notes=before.notes, groups=(DONE, WAITING)
    )
    assert kinds(before, after) == ["run", "stage", "groupFinished"]


def test_a_note_is_said_once():
    noted = replace(TRAINING, notes=("memory is enforced by a watchdog",))
    assert change_lines(TRAINING, noted) == ("[ 1m05s] memory is enforced by a watchdog",)
    assert change_lines(noted, noted) == ()


def test_before_the_first_run_the_stage_alone_is_said():
    assert kinds(BEFORE, replace(BEFORE, phase="Preparing")) == ["stage"]


def test_the_heartbeat_sums_up():
    assert heartbeat_line(TRAINING) == (
        "[ 1m05s] progress: training, 0 of 2 groups, 3 trials, 250 model calls, "
        "saved 75 %, about 2m10s left"
    )


def test_the_heartbeat_of_prepare_says_its_step():
    view = replace(BEFORE, phase="Preparing", step="44 candidates 2/4", elapsed=31)
    assert "preparing, 44 candidates 2/4, 0 model calls" in heartbeat_line(view)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        pytest.param(
            changes(TRAINING, COMPLETE)[0],
            {
                "event": "groupFinished",
                "elapsedSeconds": 605,
                "group": "00",
                "phase": "Succeeded",
                "reason": "Converged",
                "attempt": 1,
                "trials": 14,
                "baseline": 0.6123,
                "best": 0.6631,
                "heldOut": 0.65,
                "peak": 210 * MI,
                "limit": 512 * MI,
                "modelCalls": 200,
                "cacheHits": 90,
                "waits": 5,
                "tokens": 9000,
                "savedCalls": 600,
                "savedTokens": 400,
            },
            id="finished",
        ),
        pytest.param(
            heartbeat(TRAINING),
            {
                "event": "progress",
                "elapsedSeconds": 605,
                "phase": "Training",
                "groupsFinished": 0,
                "groups": 2,
                "trials": 3,
                "modelCalls": 250,
                "cacheHits": 500,
                "waits": 0,
                "tokens": 12345,
                "savedCalls": 750,
                "savedTokens": 0,
                "percent": 17,
                "remainingSeconds": 130,
            },
            id="progress",
        ),
    ],
)
def test_json_lines_hold_the_figures(event, expected):
    assert json.loads(json.dumps(event.to_json(605))) == expected


def test_a_failed_group_says_why_in_json():
    (event,) = changes(replace(TRAINING, groups=(WAITING,)), replace(TRAINING, groups=(FAILED,)))
    line = event.to_json(None)
    assert (line["event"], line["reason"], line["message"]) == (
        "groupFailed",
        "MemoryGate",
        "needs more than maxPerJob",
    )
    assert "elapsedSeconds" not in line
