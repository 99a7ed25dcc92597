"""What a finished run leaves: its Jobs go after a time, and nothing comes back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from api.rest import wait_for
from api.session_bed import Session, SessionBed
from cascade_operator.control.manifests.labels import RUN, SESSION_UID

TTL = 3


@pytest.fixture(scope="module")
def sessions(bed: SessionBed) -> dict[str, Session]:
    """One that is complete, one that has failed, one whose Jobs are kept."""
    namespace = bed.namespace()
    kept = {"ttlSecondsAfterFinished": TTL}
    made = {
        "complete": bed.session(namespace, name="complete", **kept),
        "failed": bed.session(namespace, name="failed", play={"outcome.00": "fail-64"}, **kept),
        "kept": bed.session(namespace, name="kept"),
    }
    made["kept"].wait_phase("Complete")
    return made


def children(session: Session) -> list[str]:
    """The names of its Jobs, its pods and its runs' ConfigMaps."""
    path = f"/api/v1/namespaces/{session.namespace}/configmaps"
    maps = session.rest.get(path, labelSelector=f"{SESSION_UID}={session.uid},{RUN}")["items"]
    return [*session.jobs(), *session.pods(), *(one["metadata"]["name"] for one in maps)]


def a_later_turn(bed: SessionBed) -> None:
    """A session made now has had its turn, so those due before have had theirs."""
    bed.session(bed.namespace(claim=False), suspend=True).wait_reason("Suspended")


@pytest.mark.parametrize(("name", "phase"), [("complete", "Complete"), ("failed", "Failed")])
def test_children_go_after_their_time_and_the_session_stays_as_it_was(sessions, name, phase):
    session = sessions[name]
    ended = session.wait_phase(phase)
    wait_for("its children are gone", lambda: not children(session))
    over = datetime.fromisoformat(ended["run"]["completionTime"])
    assert datetime.now(UTC) >= over + timedelta(seconds=TTL), "they are there for a while"
    assert session.status() == ended
    assert {entry["number"] for entry in ended["history"]} == {1}


def test_the_jobs_themselves_carry_no_time_to_live(sessions):
    jobs = sessions["kept"].jobs().values()
    assert len(jobs) >= 5
    # The operator reads a Job's end before it lets it go; Kubernetes' own controller would not.
    assert not any("ttlSecondsAfterFinished" in job["spec"] for job in jobs)


def test_nothing_comes_back_not_even_for_another_operator(bed, sessions):
    gone = [sessions[name] for name in ("complete", "failed")]
    for session in gone:
        wait_for("its children are gone", lambda s=session: not children(s))
    before = [session.raw() for session in sessions.values()]
    kept = sorted(sessions["kept"].jobs())
    bed.operator.stop()
    bed.operator.start()
    a_later_turn(bed)
    assert [session.raw() for session in sessions.values()] == before
    assert [children(session) for session in gone] == [[], []]
    assert sorted(sessions["kept"].jobs()) == kept


def test_a_shorter_time_counts_for_what_is_there(sessions):
    session = sessions["kept"]
    session.patch(ttlSecondsAfterFinished=0)
    wait_for("its children are gone", lambda: not children(session))
    assert session.status()["phase"] == "Complete"


def test_a_run_after_its_predecessor_s_children_are_gone(sessions):
    session = sessions["complete"]
    wait_for("its children are gone", lambda: not children(session))
    session.annotate(retrain="again")
    status = session.wait_phase("Complete", run=2)
    assert [entry["number"] for entry in status["history"]] == [2, 1]
    wait_for("its children are gone, too", lambda: not children(session))
