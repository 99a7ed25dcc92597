"""A schedule: when it fires, what it finds, and that nothing is made up for twice."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.api.search_spec import OptimizerSpec
from cascade_operator.api.session import ConcurrencyPolicy
from cascade_operator.api.status import Phase
from cascade_operator.control.domain.policies.schedule import Fire, Schedule, look
from fakes.cluster import START, FakeCluster, spec_of
from fakes.run_steps import PREPARE, end_all, live, settle

HOURLY = "0 * * * *"
HOUR = timedelta(hours=1)


def started(**changes):
    """A session with a schedule whose first run is prepared."""
    cluster = FakeCluster(spec=spec_of(schedule=HOURLY, **changes))
    settle(cluster)
    cluster.end(PREPARE)
    settle(cluster)
    return cluster


def complete(cluster):
    while live(cluster):
        end_all(cluster)


def test_a_finished_session_runs_again_when_its_schedule_fires():
    cluster = started()
    complete(cluster)
    assert cluster.status.next_schedule_time == START + HOUR
    assert settle(cluster) == 3600
    cluster.pass_time(3600)
    settle(cluster)
    run = cluster.status.run
    assert (run.number, run.trigger) == (2, "Schedule")
    assert cluster.status.last_schedule_time == START + HOUR
    assert cluster.status.next_schedule_time == START + 2 * HOUR


def test_fires_that_were_missed_are_one():
    cluster = started()
    complete(cluster)
    cluster.pass_time(5.5 * 3600)
    settle(cluster)
    assert cluster.status.run.number == 2
    assert cluster.status.last_schedule_time == START + 5 * HOUR
    complete(cluster)
    settle(cluster)
    assert cluster.status.run.number == 2


@pytest.mark.parametrize(
    ("policy", "at_once", "after"),
    [
        pytest.param(ConcurrencyPolicy.FORBID, 1, 1, id="forbid"),
        pytest.param(ConcurrencyPolicy.REPLACE, 2, 2, id="replace"),
        pytest.param(ConcurrencyPolicy.QUEUE, 1, 2, id="queue"),
    ],
)
def test_a_fire_that_finds_a_run_under_way(policy, at_once, after):
    cluster = started(concurrency_policy=policy)
    cluster.pass_time(2.5 * 3600)
    settle(cluster)
    assert cluster.status.run.number == at_once
    for name in [n for n in cluster.live() if n.startswith("triage-r1") and at_once == 2]:
        cluster.remove(name)
    while cluster.status.run.number == at_once and cluster.status.phase is not Phase.COMPLETE:
        end_all(cluster)
    settle(cluster)
    assert cluster.status.run.number == after
    assert ("ScheduleSkipped" in cluster.reasons()) is (policy is ConcurrencyPolicy.FORBID)


def test_what_falls_into_a_suspension_is_not_made_up_for():
    cluster = started()
    complete(cluster)
    cluster.spec = spec_of(schedule=HOURLY, suspend=True)
    settle(cluster)
    assert cluster.status.next_schedule_time is None
    cluster.pass_time(5.5 * 3600)
    settle(cluster)
    cluster.spec = spec_of(schedule=HOURLY)
    settle(cluster)
    assert cluster.status.run.number == 1
    assert cluster.status.next_schedule_time == START + 6 * HOUR


def test_another_schedule_is_counted_from_now():
    cluster = started()
    complete(cluster)
    cluster.pass_time(1800)
    cluster.spec = spec_of(schedule="15 * * * *")
    settle(cluster)
    assert cluster.status.run.number == 1
    assert cluster.status.next_schedule_time == START + timedelta(minutes=75)
    cluster.spec = spec_of()
    settle(cluster)
    assert cluster.status.next_schedule_time is None


def test_a_changed_spec_takes_the_place_of_a_fire():
    cluster = started()
    complete(cluster)
    cluster.pass_time(3600)
    cluster.spec = spec_of(schedule=HOURLY, optimizer=OptimizerSpec(seed=7))
    settle(cluster)
    assert (cluster.status.run.number, cluster.status.run.trigger) == (2, "SpecChanged")
    assert cluster.status.last_schedule_time == START + HOUR


def test_the_schedule_is_that_of_its_time_zone():
    cluster = FakeCluster(spec=spec_of(schedule="0 3 * * *", time_zone="Asia/Tokyo"))
    settle(cluster)
    assert cluster.status.next_schedule_time == datetime(2026, 3, 1, 18, tzinfo=UTC)


@given(
    st.sampled_from(["*/7 * * * *", HOURLY, "30 2 * * *", "0 0 1 * *"]),
    st.sampled_from(["Etc/UTC", "Europe/Berlin", "America/St_Johns"]),
    st.sampled_from(list(ConcurrencyPolicy)),
    st.lists(st.tuples(st.integers(0, 10**6), st.booleans(), st.booleans()), max_size=20),
)
def test_looking_again_finds_nothing_and_time_moves_on(cron, zone, policy, looks):
    schedule, known, now = Schedule(cron, zone, policy), None, START
    newest = None
    for seconds, under_way, suspended in looks:
        now += timedelta(seconds=seconds)
        fire = look(schedule, known, now, under_way=under_way, suspended=suspended)
        again = look(schedule, fire.next_time, now, under_way=under_way, suspended=suspended)
        assert again == Fire(next_time=fire.next_time)
        if fire.due is not None:
            assert fire.due <= now
            assert newest is None or fire.due > newest
            newest = fire.due
        assert suspended is (fire.next_time is None)
        known = fire.next_time
