"""Sessions that train again: when asked, when their spec changes, when their schedule fires."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from api.custom_resource import sessions_path
from api.invariants import assert_whole
from api.rest import ApiError, wait_for
from api.session_bed import Session, SessionBed
from cascade_operator.api.cron import last_time, next_time
from cascade_operator.api.scalars import rfc3339
from cascade_operator.control.manifests.labels import RUN

CRON, ZONE = "30 3 * * *", "America/New_York"
NEVER_SOON = {"schedule": CRON, "timeZone": ZONE}


@pytest.fixture(scope="module")
def namespace(bed: SessionBed) -> str:
    return bed.namespace()


@pytest.fixture(scope="module")
def by_the_minute(bed: SessionBed, namespace: str) -> Session:
    """Made first and looked at last: its schedule fires meanwhile, by the clock."""
    return bed.session(namespace, name="by-the-minute", schedule="* * * * *")


@pytest.fixture(scope="module")
def trained(bed: SessionBed, namespace: str, by_the_minute: Session) -> dict[str, Session]:
    """Sessions that have trained once, side by side."""
    specs = {
        "asked": {"runHistoryLimit": 2},
        "edited": {},
        "missed": NEVER_SOON,
        "paused": NEVER_SOON,
    }
    made = {name: bed.session(namespace, name=name, **spec) for name, spec in specs.items()}
    for session in made.values():
        session.wait_phase("Complete")
    return made


@pytest.fixture(scope="module")
def under_way(bed: SessionBed, namespace: str, by_the_minute: Session) -> dict[str, Session]:
    """Sessions whose first run trains until it is told to end, by what a fire does."""
    made = {
        policy: bed.session(
            namespace,
            name=policy.lower(),
            play={"outcome.00": "hold"},
            concurrencyPolicy=policy,
            **NEVER_SOON,
        )
        for policy in ("Forbid", "Replace", "Queue")
    }
    for session in made.values():
        session.wait("a group is trained", lambda s: s.get("groupsSucceeded") == 1)
    return made


def a_later_turn(bed: SessionBed) -> None:
    """A session made now has had its turn, so those due before have had theirs."""
    bed.session(bed.namespace(claim=False), suspend=True).wait_reason("Suspended")


def runs(session: Session) -> list[tuple[int, str, str]]:
    """What history says of its runs: number, trigger, how it ended."""
    found = session.status()["history"]
    return [(entry["number"], entry["trigger"], entry["reason"]) for entry in found]


def fires(count: int) -> list[datetime]:
    """The last fires of the schedule, the newest first."""
    found = [last_time(CRON, ZONE, datetime.now(UTC))]
    while len(found) < count:
        found.append(last_time(CRON, ZONE, found[-1] - timedelta(seconds=1)))
    return found


def miss(session: Session, fire: datetime) -> None:
    """Has status say what it says where no operator has looked since before a fire."""
    path = f"{sessions_path(session.namespace, session.name)}/status"
    session.rest.merge(path, {"status": {"nextScheduleTime": rfc3339(fire)}})


def finish(session: Session) -> None:
    """Has what trains end, and all that comes after."""
    session.patch(jobTemplate={"metadata": {"annotations": None}})
    for pod in session.pods().values():
        if pod["status"].get("phase") == "Running":
            try:
                session.play(pod, **{"outcome.00": "complete"})
            except ApiError as error:
                if error.status != 404:  # a run that was replaced is leaving
                    raise


# When asked.


def test_each_value_of_the_annotation_is_one_run(bed, trained):
    session = trained["asked"]
    first = session.status()["run"]["sessionId"]
    session.annotate(retrain="once")
    status = assert_whole(session, run=2)
    assert status["run"]["trigger"] == "Retrain"
    assert status["run"]["sessionId"] > first
    assert status["lastRetrainRequest"] == "once"

    version = session.raw()["metadata"]["resourceVersion"]
    session.annotate(retrain="once", note="something else has changed")
    touched = session.raw()["metadata"]["resourceVersion"]
    assert touched != version
    a_later_turn(bed)
    assert session.raw()["metadata"]["resourceVersion"] == touched, "the same value asks no more"

    session.annotate(retrain="twice")
    assert_whole(session, run=3)
    done = "Complete"
    assert runs(session) == [(3, "Retrain", done), (2, "Retrain", done)], "two are kept"
    assert session.reasons().count("RunStarted") == 3


def test_asked_while_it_trains_the_run_is_replaced(under_way):
    session = under_way["Forbid"]
    pod = next(p for p in session.pods().values() if p["status"]["phase"] == "Running")
    session.annotate(retrain="now")
    status = session.wait("a second run", lambda s: s["run"]["number"] == 2)
    assert runs(session) == [(1, "SpecChanged", "Replaced")]
    assert status["groupsSucceeded"] == 0
    wait_for("what trained has left", lambda: pod["metadata"]["name"] not in session.pods())
    session.wait("its group is trained", lambda s: s.get("groupsSucceeded") == 1)


# When the spec changes.


def test_a_changed_optimizer_trains_anew_and_another_parallelism_does_not(bed, trained):
    session = trained["edited"]
    before = session.status()["run"]["specHash"]
    session.patch(parallelism=3, runHistoryLimit=5)
    session.wait(
        "it is seen", lambda s: s["observedGeneration"] == session.raw()["metadata"]["generation"]
    )
    a_later_turn(bed)
    assert session.status()["run"]["number"] == 1
    session.patch(optimizer={"seed": 7})
    status = assert_whole(session, run=2)
    assert status["run"]["trigger"] == "SpecChanged"
    assert status["run"]["specHash"] != before
    jobs = session.group_jobs().values()
    assert sorted(job["metadata"]["labels"][RUN] for job in jobs) == ["1"] * 3 + ["2"] * 3


# When the schedule fires.


def test_a_schedule_is_told_in_its_own_time_zone(trained):
    wanted = next_time(CRON, ZONE, datetime.now(UTC))
    assert trained["missed"].status()["nextScheduleTime"] == rfc3339(wanted)


def test_fires_that_were_missed_make_one_run(bed, trained):
    session = trained["missed"]
    newest, *_, oldest = fires(3)
    miss(session, oldest)
    status = assert_whole(session, run=2)
    assert status["run"]["trigger"] == "Schedule"
    assert status["lastScheduleTime"] == rfc3339(newest)
    assert status["nextScheduleTime"] == rfc3339(next_time(CRON, ZONE, datetime.now(UTC)))
    a_later_turn(bed)
    assert session.status()["run"]["number"] == 2


def test_nothing_fires_while_suspended_nor_after_for_what_fell_into_it(bed, trained):
    session = trained["paused"]
    session.patch(suspend=True)
    session.wait("no next fire", lambda s: "nextScheduleTime" not in s)
    miss(session, fires(1)[0])
    session.wait("it is forgotten", lambda s: "nextScheduleTime" not in s)
    session.patch(suspend=False)
    wanted = next_time(CRON, ZONE, datetime.now(UTC))
    session.wait("the next", lambda s: s.get("nextScheduleTime") == rfc3339(wanted))
    a_later_turn(bed)
    assert session.status()["run"]["number"] == 1


def test_a_fire_that_meets_a_run_does_what_the_policy_says(under_way):
    forbids, replaces, queues = (under_way[name] for name in ("Forbid", "Replace", "Queue"))
    forbidding = forbids.status()["run"]["number"]
    (fire,) = fires(1)
    for session in under_way.values():
        miss(session, fire)
    following = rfc3339(next_time(CRON, ZONE, datetime.now(UTC)))

    forbids.wait("it is skipped", lambda s: s.get("nextScheduleTime") == following)
    wait_for("that is told", lambda: "ScheduleSkipped" in forbids.reasons())
    assert "lastScheduleTime" not in forbids.status()

    status = replaces.wait("another run", lambda s: s["run"]["number"] == 2)
    assert (status["run"]["trigger"], status["lastScheduleTime"]) == ("Schedule", rfc3339(fire))
    assert runs(replaces) == [(1, "SpecChanged", "Replaced")]

    status = queues.status()
    assert (status["run"]["number"], status["nextScheduleTime"]) == (1, rfc3339(fire))
    for session in under_way.values():
        finish(session)
    status = assert_whole(queues, run=2)
    assert (status["run"]["trigger"], status["nextScheduleTime"]) == ("Schedule", following)
    assert runs(queues) == [(2, "Schedule", "Complete"), (1, "SpecChanged", "Complete")]
    finish(replaces)
    assert_whole(replaces, run=2)
    assert_whole(forbids, run=forbidding)


def test_the_clock_itself_fires(by_the_minute):
    status = by_the_minute.wait(
        "another run", lambda s: s.get("run", {}).get("trigger") == "Schedule", seconds=75
    )
    fired = datetime.fromisoformat(status["lastScheduleTime"])
    began = datetime.fromisoformat(status["run"]["startTime"])
    assert fired.second == 0
    assert timedelta(0) <= began - fired < timedelta(seconds=15)
    by_the_minute.patch(schedule="")
    by_the_minute.wait("no next fire", lambda s: "nextScheduleTime" not in s)
