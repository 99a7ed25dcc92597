"""Time in which a queue holds all of a run's Jobs."""

from cascade_operator.api.session import BudgetSpec
from cascade_operator.control.domain.model import JobState
from fakes.cluster import FakeCluster, spec_of
from fakes.run_steps import PREPARE, prepared, settle

HOUR = 3600


def held(*names, **changes):
    cluster = prepared(budget=BudgetSpec(max_duration="2h"), **changes)
    for name in names or cluster.live():
        cluster.put_off(name, held=True)
    settle(cluster)
    return cluster


def release(cluster):
    for name, job in cluster.jobs.items():
        if job.state is JobState.HELD:
            cluster.run(name)
    settle(cluster)


def seconds_left(cluster, name):
    arguments = cluster.arguments(name)
    return int(arguments[arguments.index("--seconds-left") + 1])


def test_time_in_a_queue_does_not_count_as_duration():
    cluster = held()
    assert cluster.status.run.held_time == cluster.now
    assert cluster.reasons()[-1] == "Queued"
    cluster.pass_time(5 * HOUR)
    release(cluster)
    assert cluster.status.run.held_time is None
    assert cluster.status.run.paused_seconds == 5 * HOUR
    assert cluster.reasons()[-1] == "Dequeued"
    for name in cluster.live():
        cluster.end(name)
    settle(cluster)
    cluster.end("triage-r1-archive-1")
    settle(cluster)
    assert seconds_left(cluster, "triage-r1-00-01") == 2 * HOUR
    deadline = cluster.manifests["triage-r1-00-01"]["spec"]["activeDeadlineSeconds"]
    assert deadline == 2 * HOUR + 600


def test_a_job_made_again_while_held_reflects_it():
    cluster = held()
    cluster.pass_time(5 * HOUR)
    cluster.remove("triage-r1-00")
    settle(cluster)
    assert seconds_left(cluster, "triage-r1-00") == 2 * HOUR


def test_one_job_that_runs_makes_it_the_runs_own_time():
    cluster = held("triage-r1-00")
    assert cluster.status.run.held_time is None
    cluster.pass_time(HOUR)
    cluster.end("triage-r1-01")
    settle(cluster)
    assert cluster.status.run.held_time == cluster.now
    cluster.pass_time(HOUR)
    release(cluster)
    assert cluster.status.run.paused_seconds == HOUR


def test_a_suspension_goes_on_where_the_queue_held_it():
    cluster = held()
    cluster.pass_time(HOUR)
    cluster.spec = cluster.spec.model_copy(update={"suspend": True})
    cluster.generation += 1
    settle(cluster)
    assert cluster.status.run.held_time is None
    for name in cluster.live():
        cluster.remove(name)
    settle(cluster)
    cluster.pass_time(HOUR)
    cluster.spec = cluster.spec.model_copy(update={"suspend": False})
    settle(cluster)
    assert cluster.status.run.paused_seconds == 2 * HOUR


def test_held_jobs_take_their_place_and_are_not_touched():
    cluster = FakeCluster(spec=spec_of(parallelism=1, queue_name="team-queue"))
    settle(cluster)
    cluster.end(PREPARE)
    settle(cluster)
    assert len(cluster.live()) == 1
    (name,) = cluster.live()
    cluster.put_off(name, held=True)
    cluster.pass_time(HOUR)
    settle(cluster)
    assert cluster.live() == [name]
    assert all("suspend" not in manifest["spec"] for manifest in cluster.manifests.values())


def group(cluster, name):
    return next(one for one in cluster.status.groups if one.name == name)


def test_each_held_job_says_so_in_its_own_line_until_it_may_run():
    cluster = held("triage-r1-00")
    assert (group(cluster, "00").reason, group(cluster, "01").reason) == ("Queued", "")
    assert "Queued" not in cluster.reasons(), "the run itself goes on"
    release(cluster)
    assert (group(cluster, "00").reason, group(cluster, "00").message) == ("", "")


def test_a_suspension_leaves_no_group_queued():
    cluster = held()
    cluster.spec = cluster.spec.model_copy(update={"suspend": True})
    cluster.generation += 1
    for name in cluster.live():
        cluster.remove(name)  # gone before its leaving was seen
    settle(cluster)
    assert {one.reason for one in cluster.status.groups} == {""}
