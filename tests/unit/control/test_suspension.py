"""Suspended: Jobs save and leave, an archive keeps what they found, and time stands still."""

import asyncio
from datetime import timedelta
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cascade_operator.api.search_spec import BudgetSpec, OptimizerSpec
from cascade_operator.api.status import GroupPhase, Phase
from cascade_operator.control.domain.model import JobState
from cascade_operator.control.domain.policies.archiving import ArchiveKind
from cascade_operator.control.domain.policies.suspension import (
    paused_seconds,
    suspension_archive,
)
from cascade_operator.control.manifests.labels import RETRAIN_ANNOTATION
from fakes.cluster import START, FakeCluster, part_of, spec_of
from fakes.run_steps import PREPARE, end_all, finished, group, live, prepared, settle


def suspend(cluster, *, on=True):
    cluster.spec = cluster.spec.model_copy(update={"suspend": on})
    cluster.generation += 1
    settle(cluster)


def leave(cluster):
    """The Jobs that are being deleted have saved and left."""
    for name in [n for n, job in cluster.jobs.items() if job.state is JobState.DELETING]:
        cluster.remove(name)
    settle(cluster)


def conditions(cluster):
    return {c.type.value: (c.status, c.reason) for c in cluster.status.conditions}


def test_a_suspension_takes_the_jobs_away_and_ends_with_an_archive():
    cluster = prepared()
    suspend(cluster)
    assert {part_of(job) for job in cluster.jobs.values() if job.state is JobState.DELETING} == {
        "00",
        "01",
    }
    assert cluster.status.phase is Phase.SUSPENDED
    assert conditions(cluster)["Suspended"] == ("True", "Suspended")
    assert conditions(cluster)["Ready"] == ("True", "Suspended")
    assert "triage-r1-archive-1" not in cluster.jobs, "it waits for the last checkpoints"
    leave(cluster)
    assert live(cluster) == ["archive"]
    assert cluster.arguments("triage-r1-archive-1")[:2] == ["--kind", "progressive"]
    cluster.end("triage-r1-archive-1")
    assert settle(cluster) is None
    assert live(cluster) == []
    writes = cluster.writes
    cluster.pass_time(10**6)
    assert settle(cluster) is None
    assert cluster.writes == writes


def test_resuming_makes_the_same_attempts_again():
    cluster = prepared()
    suspend(cluster)
    leave(cluster)
    end_all(cluster)
    suspend(cluster, on=False)
    assert live(cluster) == ["00", "01"]
    assert cluster.created["triage-r1-00"] == 2
    assert (group(cluster, "00").attempt, group(cluster, "00").failures) == (1, 0)
    assert conditions(cluster)["Suspended"] == ("False", "NotSuspended")
    assert cluster.status.phase is Phase.TRAINING
    assert [r for r in cluster.reasons() if r in ("Suspended", "Resumed")] == [
        "Suspended",
        "Resumed",
    ]


def test_a_job_that_has_not_left_yet_holds_its_attempt_up():
    cluster = prepared()
    suspend(cluster)
    suspend(cluster, on=False)
    assert cluster.jobs["triage-r1-00"].state is JobState.DELETING
    leave(cluster)
    assert live(cluster) == ["00", "01"]


def test_suspended_time_is_no_duration():
    cluster = prepared(budget=BudgetSpec(max_duration="1h"))
    cluster.pass_time(600)
    suspend(cluster)
    leave(cluster)
    end_all(cluster)
    cluster.pass_time(7200)
    suspend(cluster, on=False)
    assert cluster.status.run.paused_seconds == 7200
    arguments = cluster.arguments("triage-r1-00")
    assert arguments[arguments.index("--seconds-left") + 1] == "3000"


def test_an_archive_under_way_is_left_to_finish_and_another_follows():
    cluster = prepared()
    cluster.end("triage-r1-00")
    settle(cluster)
    cluster.end("triage-r1-01")
    settle(cluster)
    assert live(cluster) == ["00_01", "archive"]
    cluster.pass_time(60)
    suspend(cluster)
    assert cluster.jobs["triage-r1-archive-1"].state is JobState.RUNNING
    leave(cluster)
    end_all(cluster)
    assert live(cluster) == ["archive"]
    assert "triage-r1-archive-2" in cluster.jobs


def test_while_it_prepares_there_is_nothing_to_archive():
    cluster = FakeCluster()
    settle(cluster)
    suspend(cluster)
    leave(cluster)
    assert cluster.jobs == {}
    suspend(cluster, on=False)
    assert live(cluster) == ["prepare"]
    assert cluster.created[PREPARE] == 2


def test_where_all_groups_are_trained_the_run_is_finished():
    cluster = prepared()
    end_all(cluster)
    end_all(cluster)
    assert live(cluster) == ["archive"]
    suspend(cluster)
    end_all(cluster)
    assert cluster.status.phase is Phase.COMPLETE
    assert conditions(cluster)["Suspended"] == ("True", "Suspended")
    assert cluster.status.run.suspend_time is None


def test_a_session_made_suspended_gets_its_run_when_it_is_resumed():
    cluster = FakeCluster(spec=spec_of(suspend=True))
    assert settle(cluster) is None
    assert (cluster.status.phase, cluster.status.run) == (Phase.SUSPENDED, None)
    assert cluster.status.observed_generation == 1
    assert conditions(cluster)["Ready"] == ("True", "Suspended")
    suspend(cluster, on=False)
    assert live(cluster) == ["prepare"]


@pytest.mark.parametrize("what", ["spec", "annotation"])
def test_what_asks_for_a_run_waits_for_the_end_of_the_suspension(what):
    cluster = finished()
    suspend(cluster)
    assert cluster.status.phase is Phase.COMPLETE
    if what == "spec":
        cluster.spec = spec_of(suspend=True, optimizer=OptimizerSpec(seed=7))
    else:
        cluster.annotations[RETRAIN_ANNOTATION] = "monday"
    settle(cluster)
    assert cluster.status.run.number == 1
    suspend(cluster, on=False)
    assert cluster.status.run.number == 2


EARLY, LATE = START - timedelta(hours=1), START + timedelta(seconds=5)
IDLE = {"prepared": True, "jobs_at_work": False, "all_terminal": False, "last_start": None}


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        pytest.param({}, ArchiveKind.PROGRESSIVE, id="none yet"),
        pytest.param({"last_start": EARLY}, ArchiveKind.PROGRESSIVE, id="an older one"),
        pytest.param({"last_start": LATE}, None, id="written"),
        pytest.param({"jobs_at_work": True}, None, id="Jobs still save"),
        pytest.param({"prepared": False}, None, id="nothing to keep"),
        pytest.param({"all_terminal": True, "last_start": LATE}, ArchiveKind.FINAL, id="final"),
    ],
)
def test_the_archive_a_suspension_owes(changes, kind):
    assert suspension_archive(START, **{**IDLE, **changes}) is kind


@pytest.mark.parametrize(
    ("earlier", "suspended", "seconds"),
    [(0, None, 0.0), (40, None, 40.0), (40, EARLY, 3640.0), (40, LATE, 40.0)],
    ids=["never", "earlier", "now too", "a clock set back"],
)
def test_paused_seconds(earlier, suspended, seconds):
    assert paused_seconds(earlier, suspended, START) == seconds


async def _drive(cluster, order):
    """Runs a session to its end while someone suspends and resumes it at random."""
    for _ in range(600):
        await cluster.settle()
        run = cluster.status.run
        if run is not None and run.completion_time is not None:
            return
        if order.random() < 0.25:
            changed = {"suspend": not cluster.spec.suspend}
            cluster.spec = cluster.spec.model_copy(update=changed)
            continue
        cluster.pass_time(order.randint(1, 400))
        live = cluster.live()
        if live:
            name = order.choice(live)
            if cluster.jobs[name].state is JobState.DELETING:
                cluster.remove(name)
            else:
                cluster.end(name)
    raise AssertionError("the run does not end")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32))
def test_however_often_it_is_suspended_each_group_is_trained_once(seed):
    cluster = FakeCluster(spec=spec_of(3, budget=BudgetSpec(max_duration="1h")))
    asyncio.run(_drive(cluster, Random(seed)))
    assert cluster.status.phase is Phase.COMPLETE
    assert {g.phase for g in cluster.status.groups} == {GroupPhase.SUCCEEDED}
    assert {g.failures for g in cluster.status.groups} == {0}
    ended = [part_of(j) for j in cluster.jobs.values() if j.state is JobState.SUCCEEDED]
    groups = [part for part in ended if part not in ("prepare", "archive")]
    assert len(groups) == len(set(groups)) == 7
