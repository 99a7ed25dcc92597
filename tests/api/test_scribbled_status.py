"""Somebody else writes over the status of sessions at work, in every way that the CRD lets pass.

All sessions are in one namespace at the same time, each at the same point of its life: group 00 is
at work, 01 has succeeded, 00_01 waits for both. A table of wrongs, one for each session.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest

from api.control_plane import ControlPlane
from api.custom_resource import sessions_path
from api.invariants import assert_no_orphans, assert_whole
from api.life import is_complete
from api.rest import ApiError, wait_for
from api.session_bed import NO_REDIS, Session, SessionBed, serving
from cascade_operator.control.domain.plan import STATUS_CORRECTED
from fakes.scribbles import REPLACING, SCRIBBLES

pytestmark = pytest.mark.faults

UNREAD: Final = "the last day"
"""Is left out in reading, so that there is nothing to write until something else happens."""

REFUSED: Final = {
    "a run of no number": {"run": {"number": 0}},
    "a run beyond all numbers": {"run": {"number": 2**31}},
    "a word of ten thousand letters": {"run": {"prepare": {"message": "m" * 10_000}}},
    "a time of words": {"run": {"heldTime": "yesterday"}},
    "a run that never started": {"run": {"startTime": None}},
    "a phase of theirs": {"phase": "Dancing"},
    "a condition of theirs": {
        "conditions": [
            {
                "type": "theirs.example.org/Ready",
                "status": "True",
                "reason": "Ok",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ]
    },
}


def _path(session: Session) -> str:
    return sessions_path(session.namespace, session.name, "status")


@pytest.fixture(scope="module")
def bed(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SessionBed]:
    """One operator; what is scribbled has not the health of any state, so none is held to it."""
    folder = tmp_path_factory.mktemp("scribbled")
    with serving(control_plane, folder, "--no-leader-election", NO_REDIS) as made:
        yield made


@pytest.fixture(scope="module")
def other(bed: SessionBed) -> Session:
    """A session in a namespace of its own that nothing happens to."""
    return bed.session(play={"run-seconds": "1"})


@pytest.fixture(scope="module")
def scribbled(bed: SessionBed, other: Session) -> dict[str, Session]:
    """The sessions by what was written over their status; all have come to their end since."""
    del other
    namespace = bed.namespace()
    made = {
        name: bed.session(namespace, name=name.replace(" ", "-"), play={"outcome.00": "hold"})
        for name in (*SCRIBBLES, *REPLACING)
    }
    for session in made.values():
        session.wait("group 01 has succeeded", _has_01)
        wait_for("group 00 runs", lambda one=session: one.running("00"))
    written = {}
    for name, session in made.items():
        patch = (SCRIBBLES | REPLACING)[name](session.status())
        answer = bed.rest.merge(_path(session), {"status": patch})
        written[name] = int(answer["metadata"]["resourceVersion"])
    for name, session in made.items():
        if name == UNREAD:
            continue
        wait_for(
            f"{name}: it is written over",
            lambda one=session, name=name: _version(one) > written[name],
        )
    wait_for("all come to an end", lambda: _all_done(made), seconds=200)
    return made


def _has_01(status: dict[str, Any]) -> bool:
    return any(g["name"] == "01" and g["phase"] == "Succeeded" for g in status.get("groups", []))


def _version(session: Session) -> int:
    return int(session.raw()["metadata"]["resourceVersion"])


def _done(session: Session) -> bool:
    """Whether it has come to its end; it is helped on where it waits for the test."""
    for pod in session.running("00"):
        session.play(pod, **{"outcome.00": "complete"})
    return session.status().get("phase") in ("Complete", "Failed")


def _all_done(made: Mapping[str, Session]) -> bool:
    """Helps all of them on, also behind one that is not done."""
    done = [_done(one) for one in made.values()]
    return all(done)


@pytest.mark.parametrize("name", SCRIBBLES)
def test_the_run_goes_on_with_the_jobs_that_it_had(scribbled: dict[str, Session], name: str):
    session = scribbled[name]
    assert_whole(session, scribbled=True)
    assert {job["metadata"]["name"] for job in session.group_jobs().values()} == {
        f"{session.name}-r1-{slug}" for slug in ("00", "01", "00-01")
    }
    assert_no_orphans(session.rest, session.namespace)


@pytest.mark.parametrize("name", REPLACING)
def test_a_run_of_which_nothing_is_left_is_replaced(scribbled: dict[str, Session], name: str):
    assert_whole(scribbled[name], run=2, scribbled=True)
    assert_no_orphans(scribbled[name].rest, scribbled[name].namespace)


def test_what_is_left_out_in_reading_is_gone_with_the_next_write(scribbled: dict[str, Session]):
    assert "9999-" not in str(scribbled[UNREAD].status())


def test_whoever_looks_is_told(scribbled: dict[str, Session], other: Session):
    for name in ("no groups", "a huge run", "other jobs"):
        assert STATUS_CORRECTED in scribbled[name].reasons()
    assert_whole(other)
    assert STATUS_CORRECTED not in other.reasons()


def test_the_next_run_has_a_number_too(scribbled: dict[str, Session]):
    """Also after the highest one that a status can hold was written into it."""
    for name in ("a huge run", "as much as there is room for"):
        session = scribbled[name]
        session.patch(optimizer={"seed": 7})
        wait_for("it ends", lambda one=session: _done(one) and is_complete(one.status(), 2))
        assert_whole(session, run=2, scribbled=True)


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_operator_could_have_written_is_refused(other: Session, name: str):
    with pytest.raises(ApiError) as refusal:
        other.rest.merge(_path(other), {"status": REFUSED[name]})
    assert refusal.value.status == 422
