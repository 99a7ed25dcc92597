"""That a recorded life shows what must not be: without a control plane."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from api.life import at_work_when_over, created, steps_back, together, twice
from api.recorder import ADDED, DELETED, JOBS, PODS, SESSIONS, Change, Recorder
from cascade_operator.control.manifests import labels

UID = "session"


def _life(*events: tuple[str, str, dict[str, Any]]) -> list[Change]:
    """Events in their order, each with the next version of the store."""
    recorder = Recorder()
    versions = itertools.count(9)  # 9 and 10: numbers, not words, order them
    for kind, type_, raw in events:
        metadata = {**raw["metadata"], "resourceVersion": str(next(versions))}
        recorder.add(kind, type_, {**raw, "metadata": metadata})
    return recorder.of_session(UID)


def _labels(part: str, attempt: str) -> dict[str, str]:
    held = {labels.SESSION_UID: UID, labels.RUN: "1", labels.ATTEMPT: attempt}
    own = {labels.STAGE: part} if part.isalpha() else {labels.STAGE: "group", labels.GROUP: part}
    return {**held, **own}


def job(part: str, uid: str, *, attempt: str = "1", type_: str = ADDED) -> Any:
    metadata = {"name": uid, "uid": uid, "labels": _labels(part, attempt)}
    return JOBS, type_, {"metadata": metadata}


def pod(part: str, owner: str, phase: str = "Running", *, type_: str = "MODIFIED") -> Any:
    metadata = {
        "name": f"{owner}-pod",
        "uid": f"{owner}-pod",
        "labels": _labels(part, "1"),
        "ownerReferences": [{"kind": "Job", "uid": owner}],
    }
    return PODS, type_, {"metadata": metadata, "status": {"phase": phase}}


def status(phase: str, group: str = "Running", *, attempt: int = 1, run: int = 1) -> Any:
    end = {"completionTime": "now"} if phase == "Complete" else {}
    groups = [{"name": "00", "attempt": attempt, "phase": group}]
    said = {"phase": phase, "run": {"number": run, **end}, "groups": groups}
    return SESSIONS, "MODIFIED", {"metadata": {"name": "small", "uid": UID}, "status": said}


GOOD = (
    *(job("prepare", "p"), pod("prepare", "p"), pod("prepare", "p", "Succeeded")),
    *(status("Training"), job("00", "a"), pod("00", "a", "Pending"), pod("00", "a")),
    *(pod("00", "a", "Succeeded"), status("Training", "Succeeded")),
    *(status("Complete", "Succeeded"), job("00", "a", type_=DELETED)),
)


def test_a_good_life_shows_nothing():
    life = _life(*GOOD)
    assert (twice(life), together(life), at_work_when_over(life, 1)) == ([], [], [])
    assert steps_back(life) == []
    assert created(life) == {("1", "prepare", "1"): 1, ("1", "00", "1"): 1}


def test_another_sessions_life_is_no_part_of_it():
    theirs = job("00", "b")
    theirs[2]["metadata"]["labels"] = {**_labels("00", "1"), labels.SESSION_UID: "another"}
    assert twice(_life(*GOOD, theirs)) == []


def test_a_job_that_is_made_again_is_seen_also_where_the_first_is_gone():
    life = _life(job("00", "a"), job("00", "a", type_=DELETED), job("00", "b"))
    assert twice(life) == ["2 Jobs for ('1', '00', '1')"]
    assert twice(life, made_again=("00",)) == []


def test_another_attempt_is_another_job():
    assert twice(_life(job("00", "a"), job("00", "b", attempt="2"))) == []


def test_two_jobs_at_work_are_seen_also_where_both_end():
    life = _life(
        *(pod("00", "a"), pod("00", "b", "Pending"), pod("00", "a", "Failed")),
        *(pod("00", "b", "Succeeded"), status("Complete")),
    )
    assert together(life) == ["a and b at version 10"]
    one_after_another = _life(pod("00", "a"), pod("00", "a", "Failed"), pod("00", "b"))
    assert together(one_after_another) == []


@pytest.mark.parametrize("end", ["before", "after", "never"])
def test_a_pod_at_work_at_the_end_is_seen_whatever_becomes_of_it(end):
    ended, over = pod("00", "a", type_=DELETED), status("Complete")
    order = {"before": [ended, over], "after": [over, ended], "never": [over]}[end]
    life = _life(pod("00", "a"), *order)
    assert at_work_when_over(life, 1) == ([] if end == "before" else ["a-pod"])


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        pytest.param(status("Training", attempt=2), status("Training"), id="attempt"),
        pytest.param(status("Training", "Succeeded"), status("Training"), id="success"),
        pytest.param(status("Training", run=2), status("Training"), id="run"),
    ],
)
def test_a_status_that_takes_something_back_is_seen(earlier, later):
    assert len(steps_back(_life(earlier, later))) == 1
    assert steps_back(_life(later, earlier)) == []
