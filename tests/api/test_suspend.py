"""Sessions that are suspended, by their spec or by a queue, and go on where they were."""

from __future__ import annotations

import pytest

from api.control_plane import ControlPlane
from api.invariants import assert_whole
from api.job_queue import JobQueue, queueing
from api.rest import wait_for
from api.session_bed import Session, SessionBed
from cascade_operator.control.manifests.labels import ARCHIVE_KIND, GROUP, STAGE


def group(session: Session, name: str) -> dict[str, object]:
    return next(g for g in session.status()["groups"] if g["name"] == name)


def job_of(session: Session, part: str) -> dict:
    """The Job of a stage or a group, once it is there; only its first attempt."""

    def look():
        found = [
            job
            for job in session.jobs().values()
            if part in (job["metadata"]["labels"].get(GROUP), job["metadata"]["labels"][STAGE])
        ]
        return found[0] if len(found) == 1 else None

    return wait_for(f"the Job of {part}", look)


def running_pod(session: Session, part: str) -> dict:
    """The pod of a stage or a group, once it runs."""

    def look():
        for pod in session.pods().values():
            labels = pod["metadata"]["labels"]
            here = part in (labels.get(GROUP), labels[STAGE])
            if here and pod.get("status", {}).get("phase") == "Running":
                return pod
        return None

    return wait_for(f"a running pod of {part}", look)


def a_later_turn(bed: SessionBed) -> None:
    """A session made now has had its turn, so those due before have had theirs."""
    bed.session(bed.namespace(claim=False), suspend=True).wait_reason("Suspended")


# By its spec.


@pytest.fixture(scope="module")
def suspended(bed: SessionBed) -> dict[str, Session]:
    """Each suspended at another point of its life; side by side."""
    namespace = bed.namespace()
    sessions = {
        "unborn": bed.session(namespace, name="unborn", suspend=True),
        "preparing": bed.session(namespace, name="preparing", play={"outcome.prepare": "hold"}),
        "training": bed.session(namespace, name="training", play={"outcome.01": "hold"}),
        # Of one size of groups, the only archive is the last.
        "archiving": bed.session(
            namespace,
            name="archiving",
            play={"outcome.archive": "hold"},
            groups={"sizes": [1]},
        ),
    }
    running_pod(sessions["preparing"], "prepare")
    running_pod(sessions["training"], "01")
    sessions["training"].wait("00 is trained", lambda s: s.get("groupsSucceeded") == 1)
    running_pod(sessions["archiving"], "archive")
    for session in sessions.values():
        session.patch(suspend=True)
    return sessions


def test_before_its_first_run_nothing_is_made(suspended):
    session = suspended["unborn"]
    assert session.wait_reason("Suspended")["status"] == "True"
    assert session.status()["phase"] == "Suspended"
    assert "run" not in session.status()
    assert session.jobs() == {}


def test_in_prepare_its_job_goes_and_there_is_nothing_to_archive(suspended):
    session = suspended["preparing"]
    session.wait_phase("Suspended")
    wait_for("its Job and pod have left", lambda: not session.jobs() and not session.pods())
    assert session.true() == {"Ready": "Suspended", "Suspended": "Suspended"}


def test_in_training_jobs_go_and_an_archive_keeps_what_they_found(suspended):
    session = suspended["training"]
    session.wait(
        "it stands still",
        lambda s: s["phase"] == "Suspended" and s["run"]["archive"].get("phase") == "Succeeded",
    )
    wait_for("the group's pod has left", lambda: "01" not in _groups(session.pods()))
    assert session.true() == {"Ready": "Suspended", "Suspended": "Suspended"}
    assert "goes on once spec.suspend is false" in session.ready()["message"]
    archive = job_of(session, "archive")
    assert archive["metadata"]["labels"][ARCHIVE_KIND] == "progressive"
    arguments = archive["spec"]["template"]["spec"]["containers"][0]["args"]
    assert arguments[arguments.index("--groups") + 1] == "00"
    assert _groups(session.jobs()) == ["00"], "the Job of what was still to train is gone"
    held = group(session, "01")
    assert (held["phase"], held["attempt"]) == ("Running", 1), "the attempt itself stays"


def _groups(children: dict) -> list[str]:
    labels = [child["metadata"]["labels"] for child in children.values()]
    return [one[GROUP] for one in labels if GROUP in one]


def test_in_its_last_archive_that_is_left_to_finish(suspended):
    session = suspended["archiving"]
    session.wait_reason("Suspended")
    session.play(running_pod(session, "archive"), **{"outcome.archive": "complete"})
    status = session.wait_phase("Complete")
    assert session.true() == {
        "Ready": "Complete",
        "Complete": "Complete",
        "Suspended": "Suspended",
    }
    assert status["run"]["archive"]["attempt"] == 1


@pytest.fixture(scope="module")
def resumed(suspended) -> dict[str, Session]:
    """The same, once each stood still; and what was there then."""
    suspended["preparing"].wait("its Job has left", lambda _: not suspended["preparing"].jobs())
    suspended["training"].wait(
        "its archive is written", lambda s: s["run"]["archive"].get("phase") == "Succeeded"
    )
    suspended["archiving"].wait_phase("Complete")
    before = suspended["training"].group_jobs()
    for session in suspended.values():
        session.patch(suspend=False, jobTemplate={"metadata": {"annotations": None}})
    return {**suspended, "before": before}


@pytest.mark.parametrize(
    ("name", "stopped"),
    [
        pytest.param("unborn", (), id="unborn"),
        pytest.param("preparing", ("prepare",), id="preparing"),
        pytest.param("training", ("01",), id="training"),
    ],
)
def test_resumed_it_trains_what_is_left_with_the_same_attempts(resumed, name, stopped):
    session = resumed[name]
    status = assert_whole(session, made_again=stopped)
    assert {g["attempt"] for g in status["groups"]} == {1}
    assert status["run"]["prepare"]["attempt"] == 1
    assert "Suspended" not in session.true()


def test_what_was_trained_is_not_trained_again(resumed):
    session = resumed["training"]
    assert_whole(session, made_again=("01",))
    ((name, job),) = resumed["before"].items()
    assert session.group_jobs()[name]["metadata"]["uid"] == job["metadata"]["uid"]
    assert session.phases() == [
        *("Pending", "Preparing", "Training", "Suspended", "Training", "Archiving", "Complete")
    ]
    reasons = wait_for("the end is told", lambda: _told(session, "RunComplete"))
    assert (reasons.count("Suspended"), reasons.count("Resumed")) == (1, 1)
    assert reasons.count("GroupSucceeded") == 3


def _told(session: Session, reason: str) -> list[str] | None:
    reasons = session.reasons()
    return reasons if reason in reasons else None


def test_a_finished_session_starts_nothing_when_it_is_resumed(bed, resumed):
    session = resumed["archiving"]
    session.wait("not suspended", lambda _: "Suspended" not in session.true())
    a_later_turn(bed)
    assert_whole(session, groups=2)


# By a queue.


@pytest.fixture(scope="module")
def queue(control_plane: ControlPlane):
    """Kueue's part, played by the tests."""
    with queueing(control_plane) as made:
        yield made


def test_a_queue_holds_jobs_takes_them_back_and_lets_them_go(bed: SessionBed, queue: JobQueue):
    session = bed.session(queueName="team-queue", play={"outcome.00": "hold"})

    # Before prepare. No event tells of a Job that is held from its creation on.
    ready = session.wait_reason("Queued", seconds=15)
    assert (ready["status"], session.status()["phase"]) == ("True", "Preparing")
    assert "heldTime" in session.status()["run"]
    assert session.pods() == {}
    prepare = job_of(session, "prepare")
    assert prepare["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-queue"
    queue.admit(prepare)

    # Before training: each group says so, and so does the run as long as none may run.
    session.wait("two groups wait", lambda s: _reasons(s) == {"00": "Queued", "01": "Queued"})
    assert session.ready()["reason"] == "Queued"
    assert session.status()["phase"] == "Training"
    queue.admit(job_of(session, "00"))
    pod = running_pod(session, "00")
    status = session.wait("one goes on, one waits", lambda s: _reasons(s) == {"01": "Queued"})
    assert session.ready()["reason"] == "Training"
    assert "heldTime" not in status["run"]

    # Preempted: its pod goes, it is no failure, and nobody lets it go again but the queue.
    queue.preempt(job_of(session, "00"))
    session.wait("it waits again", lambda s: _reasons(s) == {"00": "Queued", "01": "Queued"})
    wait_for("its pod has left", lambda: pod["metadata"]["name"] not in session.pods())
    a_later_turn(bed)
    job = job_of(session, "00")
    assert job["spec"]["suspend"] is True
    assert job["metadata"]["generation"] == 3, "made, admitted, preempted; no other write"
    assert group(session, "00")["attempt"] == 1
    assert session.ready()["reason"] == "Queued"

    # Admitted again, and all that follows.
    queue.admit(job)
    session.play(running_pod(session, "00"), **{"outcome.00": "complete"})
    for part in ("01", "00_01"):
        queue.admit(job_of(session, part))
    wait_for("the archive's Job", lambda: _admit_archives(session, queue))
    status = assert_whole(session)
    assert {g["attempt"] for g in status["groups"]} == {1}
    assert not any(_reasons(status).values())
    reasons = session.reasons()
    assert reasons.count("Queued") == reasons.count("Dequeued")
    assert reasons.count("Queued") >= 3


def _reasons(status: dict) -> dict[str, str]:
    """Why groups at work do not run, of those that do not."""
    working = [g for g in status.get("groups", []) if g["phase"] == "Running"]
    return {g["name"]: g["reason"] for g in working if g.get("reason")}


def _admit_archives(session: Session, queue: JobQueue) -> bool:
    """Lets archives go as they come; whether the run is over."""
    for job in session.jobs().values():
        if job["metadata"]["labels"][STAGE] == "archive" and job["spec"].get("suspend"):
            queue.admit(job)
    return session.status()["phase"] == "Complete"
