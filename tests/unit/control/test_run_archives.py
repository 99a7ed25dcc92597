"""When a run archives, and what it takes from the archive Job."""

from cascade_operator.api.calls import CallFigures
from cascade_operator.api.records import ArchiveResult, Failure
from cascade_operator.api.resources_spec import Limits, MemorySpec, ResourcesSpec, StageResources
from cascade_operator.api.status import BestStatus, Phase
from fakes.cluster import (
    Outcome,
    archive_result,
    group_result,
)
from fakes.run_steps import end_all, group, live, prepared, settle


def test_a_due_archive_is_admitted_before_more_groups():
    cluster = prepared(parallelism=1)
    cluster.pass_time(7 * 3600)
    end_all(cluster)
    assert live(cluster) == ["archive"]
    end_all(cluster)
    assert live(cluster) == ["01"]


def test_each_interval_asks_for_an_archive_also_of_running_searches():
    cluster = prepared()
    cluster.end("triage-r1-00")
    settle(cluster)
    assert live(cluster) == ["01"]
    cluster.pass_time(6 * 3600)
    settle(cluster)
    assert live(cluster) == ["01", "archive"]
    cluster.end("triage-r1-archive-1")
    settle(cluster)
    assert cluster.status.run.archived_groups == ["00"]
    cluster.pass_time(5 * 3600)
    settle(cluster)
    assert live(cluster) == ["01"], "the interval is not over"
    cluster.pass_time(3600)
    settle(cluster)
    assert live(cluster) == ["01", "archive"], "its checkpoint is kept"


def test_a_progressive_archive_that_is_given_up_does_not_stop_the_training():
    cluster = prepared(backoff_limit=0)
    end_all(cluster)
    cluster.end("triage-r1-archive-1", Outcome(73))
    settle(cluster)
    assert live(cluster) == ["00_01"]
    ready = cluster.status.conditions[0]
    assert (ready.status, ready.reason) == ("False", "Retrying")
    end_all(cluster)
    assert cluster.arguments("triage-r1-archive-2")[1] == "final"
    end_all(cluster)
    assert cluster.status.phase is Phase.COMPLETE


def test_a_final_archive_that_cannot_be_written_fails_the_run():
    cluster = prepared(backoff_limit=0)
    end_all(cluster)
    end_all(cluster)
    end_all(
        cluster, Outcome(73, message=Failure(exit_code=73, message="disk full", mend="grow it"))
    )
    assert cluster.status.phase is Phase.FAILED
    stalled = next(c for c in cluster.status.conditions if c.type == "Stalled")
    assert (stalled.reason, stalled.message) == ("ArchiveFailed", "disk full; grow it")


def test_figures_that_are_missing_come_with_the_archive():
    cluster = prepared()
    cluster.end("triage-r1-00", Outcome(silent=True))
    cluster.end("triage-r1-01", Outcome(message=group_result("00")))
    settle(cluster)
    for key in ("00", "01"):
        assert group(cluster, key).reason == "FiguresPending", "none, or another group's"
        assert group(cluster, key).score is None
    brought = archive_result(["00", "01"]).model_copy(
        update={
            "figures": [group_result("00", calls=CallFigures(model_calls=7)), group_result("01")]
        }
    )
    cluster.end("triage-r1-archive-1", Outcome(message=brought))
    settle(cluster)
    assert (group(cluster, "00").score, group(cluster, "00").reason) == ("0.2600", "MaxTrials")
    assert group(cluster, "00").calls.model_calls == 7
    assert cluster.status.progress.model_calls == 7


def test_a_best_whose_figures_are_pending_is_taken_from_the_archive():
    cluster = prepared()
    end_all(cluster)
    cluster.end("triage-r1-archive-1")
    cluster.end("triage-r1-00-01", Outcome(silent=True))
    settle(cluster)
    told = ArchiveResult(final=True, best=BestStatus(group="00_01", score="0.9000"))
    cluster.end("triage-r1-archive-2", Outcome(message=told))
    settle(cluster)
    assert cluster.status.best.group == "00_01"
    assert cluster.status.history[0].best.score == "0.9000"


def test_no_group_takes_the_memory_that_a_due_archive_waits_for():
    large = StageResources(limits=Limits(memory="2Gi"))
    cluster = prepared(
        nodes=3,
        resources=ResourcesSpec(archive=large),
        memory=MemorySpec(budget="2Gi", max_per_job="2Gi"),
    )
    assert live(cluster) == ["00", "01"]
    cluster.pass_time(7 * 3600)
    cluster.end("triage-r1-00")
    settle(cluster)
    assert live(cluster) == ["01"]
    cluster.end("triage-r1-01")
    settle(cluster)
    assert live(cluster) == ["archive"]
