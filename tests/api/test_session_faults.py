"""What is done to single sessions and their children, beside others that nobody touches.

All have one operator, and each its namespace; the ones of other tests are at work meanwhile.
"""

from __future__ import annotations

from typing import Any

import pytest

from api.custom_resource import sessions_path
from api.invariants import assert_no_orphans, assert_whole
from api.life import DELETED, JOBS, is_at_work
from api.recorder import PODS
from api.rest import wait_for
from api.scenarios import scenario
from api.session_bed import Session, SessionBed
from cascade_operator.control.manifests import labels

pytestmark = pytest.mark.faults


@pytest.fixture
def other(bed: SessionBed) -> Session:
    """A session in a namespace of its own that nothing happens to; whole afterwards."""
    return bed.session(play={"run-seconds": "0.5"})


def assert_unaffected(other: Session) -> None:
    """The session that nothing happened to is as it would be anyway, and has told no trouble."""
    assert_whole(other)
    assert_no_orphans(other.rest, other.namespace)
    told = {event["reason"] for event in other.events() if event["type"] != "Normal"}
    assert told == set()


def test_a_job_that_is_deleted_by_hand_is_made_again(bed: SessionBed, other: Session):
    session = bed.session(play={"outcome.00": "hold"})
    wait_for("group 00 runs", lambda: session.running("00"))
    uid = session.jobs()["small-r1-00"]["metadata"]["uid"]
    path = f"/apis/batch/v1/namespaces/{session.namespace}/jobs/small-r1-00"
    bed.rest.delete(path, propagationPolicy="Background")
    wait_for(
        "another one has its place",
        lambda: session.jobs().get("small-r1-00", {}).get("metadata", {}).get("uid", uid) != uid,
    )
    (pod,) = wait_for("it runs", lambda: session.running("00"))
    assert pod["metadata"]["ownerReferences"][0]["uid"] != uid
    session.play(pod, **{"outcome.00": "complete"})
    assert_whole(session, made_again=("00",))
    assert_no_orphans(bed.rest, session.namespace)
    assert_unaffected(other)


def test_a_foreign_job_on_our_name_is_left_alone_and_told(bed: SessionBed, other: Session):
    namespace = bed.namespace()
    foreign = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    made = bed.rest.create(foreign, _foreign_job("small-r1-prepare"))
    session = bed.session(namespace)
    said = session.wait_reason("NameConflict")
    assert "small-r1-prepare" in said["message"]
    found = bed.rest.get(f"{foreign}/small-r1-prepare")
    assert found["metadata"]["uid"] == made["metadata"]["uid"]
    assert found["spec"] == made["spec"]
    assert set(found["metadata"].get("labels", {})) == set(made["metadata"].get("labels", {}))
    assert "ownerReferences" not in found["metadata"]
    assert session.jobs() == {}, "nothing of the run can start before prepare"
    bed.rest.delete(f"{foreign}/small-r1-prepare", propagationPolicy="Background")
    assert_whole(session)
    assert_no_orphans(bed.rest, namespace)
    assert_unaffected(other)


def _foreign_job(name: str) -> dict[str, Any]:
    container = {"name": "other", "image": "other"}
    pod = {"containers": [container], "restartPolicy": "Never"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"template": {"spec": pod}, "suspend": True},
    }


def test_a_session_that_is_made_again_under_its_name_runs_anew(bed: SessionBed, other: Session):
    first = bed.session(play={"run-seconds": "0.5"})
    first.wait_phase("Training")
    bed.rest.delete(sessions_path(first.namespace, first.name))
    second = bed.session(first.namespace, name=first.name)
    assert second.uid != first.uid
    assert_whole(second)
    wait_for("the first one's Jobs are gone", lambda: not first.jobs() and not first.pods())
    # What the first one had made worked for the first one alone.
    owners = {
        owner["uid"]
        for one in second.life()
        if one.kind == JOBS
        for owner in one.raw["metadata"]["ownerReferences"]
    }
    assert owners == {second.uid}
    assert_no_orphans(bed.rest, first.namespace)
    assert_unaffected(other)


def test_a_spec_that_is_edited_five_times_in_a_second(bed: SessionBed, other: Session):
    """The last one counts; what the others started is told to stop, deleted and gone."""
    # Nothing that is replaced would end by itself before the test does.
    session = bed.session(play={"run-seconds": "600"})
    session.wait_phase("Preparing")
    wait_for("its prepare Job is at work", session.pods)
    for seed in range(4):
        session.patch(optimizer={"seed": seed})
    quick = {"metadata": {"annotations": scenario(**{"run-seconds": "0.5"})}}
    session.patch(optimizer={"seed": 4}, jobTemplate=quick)
    session.wait("the last generation", lambda s: s.get("observedGeneration") == 6)
    session.wait("it ends", lambda s: s.get("phase") == "Complete")
    run = session.status()["run"]["number"]
    assert 2 <= run <= 6
    status = assert_whole(session, run=run)
    config = f"/api/v1/namespaces/{session.namespace}/configmaps/small-r{run}-config"
    assert '"seed":4' in str(bed.rest.get(config)["data"]).replace(" ", "")
    replaced = {entry["number"]: entry["reason"] for entry in status["history"]}
    assert replaced == {run: "Complete"} | dict.fromkeys(range(1, run), "Replaced")
    wait_for("what was replaced is gone", lambda: not _left_at_work(session, run))
    assert_no_orphans(bed.rest, session.namespace)
    assert_unaffected(other)


def _left_at_work(session: Session, run: int) -> list[str]:
    """Jobs of earlier runs that are neither deleted nor had ended by themselves."""
    pods = {one.labels["job-name"]: one for one in session.life() if one.kind == PODS}
    gone = {
        one.raw["metadata"]["name"]
        for one in session.life()
        if one.kind == JOBS and one.type == DELETED
    }
    return [
        name
        for name, job in session.jobs().items()
        if job["metadata"]["labels"][labels.RUN] != str(run)
        and name not in gone
        and (name not in pods or is_at_work(pods[name]))
    ]


def test_a_thousand_annotations_disturb_nobody(bed: SessionBed, other: Session):
    garbage = {f"example.org/garbage-{number}": "x" * 100 for number in range(1000)}
    session = bed.session(metadata={"annotations": garbage})
    assert_whole(session)
    found = session.raw()["metadata"]["annotations"]
    assert found == garbage
    assert all(
        not set(garbage) & set(job["metadata"].get("annotations", {}))
        for job in session.jobs().values()
    )
    assert_no_orphans(bed.rest, session.namespace)
    assert_unaffected(other)
