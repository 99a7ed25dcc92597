"""What a run leaves is deleted after its time to live; what it found is not."""

from datetime import timedelta

import pytest

from cascade_operator.api.search_spec import OptimizerSpec
from cascade_operator.control.domain.model import DeleteConfigMap, DeleteJob, JobState
from cascade_operator.control.domain.plan import plan
from cascade_operator.control.domain.policies.retention import LONG_AGO, expiry
from fakes.cluster import START, FakeCluster, spec_of
from fakes.run_steps import end_all, finished, prepared, settle

DAY = 86400


def left(cluster):
    """Names of the children that nobody has asked to go."""
    jobs = [n for n, job in cluster.jobs.items() if job.state is not JobState.DELETING]
    return sorted([*jobs, *cluster.config_maps])


def test_children_go_when_the_time_to_live_is_over():
    cluster = finished()
    there = left(cluster)
    assert len(there) == 7
    assert settle(cluster) == DAY
    cluster.pass_time(DAY - 1)
    settle(cluster)
    assert left(cluster) == there
    status = cluster.status
    cluster.pass_time(1)
    assert settle(cluster) is None
    assert left(cluster) == []
    assert cluster.status == status, "archives, best and history stay"


def test_a_time_to_live_of_zero_still_waits_for_the_end_to_stand_in_status():
    cluster = prepared(ttl_seconds_after_finished=0)
    end_all(cluster)
    end_all(cluster)
    for name in cluster.live():
        cluster.end(name)
    step = plan(cluster.seen(), cluster.now)
    assert step.status.run.completion_time == START
    assert step.actions == ()
    settle(cluster)
    assert left(cluster) == []


def test_a_run_under_way_keeps_its_jobs_however_long_it_takes():
    cluster = prepared()
    there = left(cluster)
    cluster.pass_time(30 * DAY)
    settle(cluster)
    assert set(left(cluster)) >= set(there)


def test_each_run_has_a_time_of_its_own():
    cluster = finished()
    cluster.pass_time(DAY / 2)
    cluster.spec = spec_of(optimizer=OptimizerSpec(seed=7))
    settle(cluster)
    assert "triage-r1-config" in left(cluster)
    cluster.pass_time(DAY / 2)
    settle(cluster)
    assert left(cluster) == ["triage-r2-config", "triage-r2-prepare"]


def test_what_is_still_being_deleted_does_not_hide_what_expires_next():
    cluster = finished()
    cluster.pass_time(DAY / 2)
    cluster.spec = spec_of(optimizer=OptimizerSpec(seed=7))
    for _ in range(4):
        settle(cluster)
        end_all(cluster)
    cluster.pass_time(DAY / 2)
    settle(cluster)
    # The first run's Jobs have a deletion timestamp, and somebody's finalizer keeps them.
    assert "triage-r1-prepare" in cluster.jobs
    assert settle(cluster) == DAY / 2


def test_a_run_that_history_has_forgotten_leaves_nothing():
    cluster = finished()
    cluster.spec = spec_of(run_history_limit=0, optimizer=OptimizerSpec(seed=7))
    settle(cluster)
    cluster.spec = spec_of(run_history_limit=0, optimizer=OptimizerSpec(seed=8))
    settle(cluster)
    assert left(cluster) == ["triage-r3-config", "triage-r3-prepare"]


def test_what_is_not_ours_by_name_is_left_alone():
    cluster = finished()
    cluster.config_maps["triage-notes"] = {}
    cluster.pass_time(DAY)
    step = plan(cluster.seen(), cluster.now)
    assert DeleteConfigMap("triage-r1-config") in step.actions
    assert DeleteConfigMap("triage-notes") not in step.actions
    assert DeleteJob("triage-r1-prepare") in step.actions


@pytest.mark.parametrize(
    ("run", "time"),
    [
        pytest.param(2, START + timedelta(seconds=60), id="ended"),
        pytest.param(1, LONG_AGO, id="forgotten"),
        pytest.param(3, None, id="under way"),
        pytest.param(4, None, id="of a later operator"),
    ],
)
def test_when_a_run_expires(run, time):
    assert expiry(run, {2: START}, 60, current=3) == time


def test_a_session_without_a_run_deletes_nothing():
    cluster = FakeCluster(spec=spec_of(suspend=True))
    cluster.config_maps["triage-r1-config"] = {}
    settle(cluster)
    assert left(cluster) == ["triage-r1-config"]
