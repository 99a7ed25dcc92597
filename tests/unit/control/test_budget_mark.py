"""What a run has spent is kept in status, and told to each Job that comes after."""

from __future__ import annotations

from cascade_operator.api.records import Progress
from cascade_operator.api.status import SpentStatus
from cascade_operator.control.domain.model import PROGRESS_SECONDS
from fakes.run_steps import PREPARE, end_all, live, prepared, settle


def seen(cluster, name, calls, tokens=0, micros=0):
    """A Job publishes the counters."""
    spent = SpentStatus(calls=calls, tokens=tokens, cost_micros=micros)
    cluster.progress[name] = Progress(name=name, stage=41, spent=spent)
    cluster.pass_time(PROGRESS_SECONDS)
    settle(cluster)


def told(cluster, job):
    arguments = cluster.arguments(job)
    return arguments[arguments.index("--spent") + 1] if "--spent" in arguments else None


def test_a_run_that_has_spent_nothing_tells_nothing():
    cluster = prepared()
    assert cluster.status.run.spent is None
    assert told(cluster, PREPARE) is None


def test_the_highest_figures_of_each_kind_stay():
    cluster = prepared()
    seen(cluster, "00", 10, 500, 7)
    seen(cluster, "01", 12, 400, 9)
    cluster.progress.clear()  # Redis is lost, or the records have expired
    settle(cluster)
    seen(cluster, "00", 1)
    assert cluster.status.run.spent == SpentStatus(calls=12, tokens=500, cost_micros=9)


def test_later_jobs_are_told():
    cluster = prepared()
    seen(cluster, "00", 10, 500, 7)
    end_all(cluster)
    assert live(cluster)
    new = [name for name in cluster.live() if "archive" not in name]
    assert {told(cluster, name) for name in new} == {"10,500,7"}


def test_an_archive_asks_no_model_and_is_told_nothing():
    cluster = prepared()
    seen(cluster, "00", 10)
    end_all(cluster)
    archives = [name for name in cluster.live() if "archive" in name]
    assert archives
    assert {told(cluster, name) for name in archives} == {None}


def test_the_next_run_begins_with_nothing():
    cluster = prepared()
    seen(cluster, "00", 10)
    cluster.progress.clear()
    cluster.annotations["cascade-operator.dev/retrain"] = "now"
    settle(cluster)
    assert cluster.status.run.number == 2
    assert cluster.status.run.spent is None
