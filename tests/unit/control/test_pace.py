"""How often live figures alone are written."""

from dataclasses import replace

import pytest

from cascade_operator.api.calls import CallFigures
from cascade_operator.api.records import Progress
from cascade_operator.api.status import SpentStatus
from cascade_operator.control.domain.model import PROGRESS_SECONDS
from cascade_operator.control.domain.plan import plan
from fakes.run_steps import prepared, settle


def figures(done, **changes):
    calls = CallFigures(model_calls=done)
    return {"00": Progress(name="00", stage=41, done=done, total=40, calls=calls, **changes)}


def working():
    cluster = prepared()
    cluster.pass_time(PROGRESS_SECONDS)
    cluster.progress = figures(1)
    settle(cluster)
    return cluster


def test_figures_alone_are_written_once_in_their_time():
    cluster = working()
    writes, updated = cluster.writes, cluster.status.progress.last_update_time
    assert updated == cluster.now
    for second in range(1, 31):
        cluster.pass_time(1)
        cluster.progress = figures(1 + second, spent=SpentStatus(calls=second))
        wait = settle(cluster)
        if second < PROGRESS_SECONDS:
            assert (cluster.writes, wait) == (writes, PROGRESS_SECONDS - second)
    assert cluster.writes == writes + 1
    assert cluster.status.progress.model_calls == 31
    assert cluster.status.run.spent == SpentStatus(calls=30)
    assert settle(cluster) == PROGRESS_SECONDS


def test_a_transition_takes_fresh_figures_along():
    cluster = working()
    cluster.pass_time(5)
    cluster.progress = figures(9)
    cluster.end("triage-r1-01")
    settle(cluster)
    assert cluster.status.progress.model_calls == 9
    assert cluster.status.progress.last_update_time == cluster.now
    cluster.pass_time(PROGRESS_SECONDS - 1)
    cluster.progress = figures(20)
    settle(cluster)
    assert cluster.status.progress.model_calls == 9


def test_the_clock_alone_writes_nothing():
    cluster = working()
    assert cluster.status.progress.estimated_remaining_seconds
    writes = cluster.writes
    for _ in range(20):
        cluster.pass_time(317)
        settle(cluster)
    assert cluster.writes == writes


@pytest.mark.parametrize("pace", [1.0, 30.0])
def test_the_pace_is_the_cluster_s(pace):
    cluster = working()
    cluster.pass_time(2)
    cluster.progress = figures(9)
    seen = replace(cluster.seen(), progress_seconds=pace)
    written = plan(seen, cluster.now).status
    assert (written != cluster.status) == (pace < 2)


def test_figures_that_come_late_to_a_suspended_run_are_still_written():
    cluster = working()
    cluster.spec = cluster.spec.model_copy(update={"suspend": True})
    cluster.generation += 1
    settle(cluster)
    for name in cluster.live():
        cluster.remove(name)
    settle(cluster)
    cluster.end("triage-r1-archive-1")
    settle(cluster)
    cluster.progress = figures(9)
    assert settle(cluster) == PROGRESS_SECONDS
    cluster.pass_time(PROGRESS_SECONDS)
    assert settle(cluster) is None
    assert cluster.status.progress.model_calls == 9
