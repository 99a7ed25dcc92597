"""What a run does about Jobs that fail, vanish or miss their data."""

from dataclasses import replace

import pytest

from cascade_operator.api.records import Failure, PrepareResult
from cascade_operator.api.resources_spec import MemorySpec
from cascade_operator.api.status import GroupPhase, Phase
from cascade_operator.control.domain.model import JobState
from cascade_operator.control.manifests.labels import RETRAIN_ANNOTATION
from fakes.cluster import FakeCluster, Outcome, group_result, spec_of
from fakes.run_steps import PREPARE, end_all, group, live, prepared, settle


def test_prepare_is_retried_and_then_fails_the_run():
    cluster = FakeCluster(spec=spec_of(backoff_limit=1))
    settle(cluster)
    cluster.end(PREPARE, Outcome(69))
    assert settle(cluster) == 30
    assert live(cluster) == []
    ready = cluster.status.conditions[0]
    assert (ready.status, ready.reason) == ("False", "Retrying")
    cluster.pass_time(30)
    settle(cluster)
    assert cluster.live() == ["triage-r1-prepare-a2"]
    cluster.end("triage-r1-prepare-a2", Outcome(69))
    settle(cluster)
    assert cluster.status.phase is Phase.FAILED
    assert cluster.reasons()[-1] == "PrepareFailed"
    assert all(g.phase is GroupPhase.FAILED for g in cluster.status.groups)


@pytest.mark.parametrize(
    ("outcome", "failures", "limit", "wait"),
    [
        pytest.param(Outcome(69), 1, "1Gi", 30, id="service: backoff, one failure"),
        pytest.param(Outcome(1), 1, "1Gi", 30, id="crash: backoff, one failure"),
        pytest.param(Outcome(143), 0, "1Gi", 10, id="told to stop: no failure"),
        pytest.param(Outcome(75), 0, "1536Mi", 0, id="memory gate: more memory at once"),
        pytest.param(Outcome(137, "OOMKilled"), 0, "1536Mi", 0, id="OOM kill: likewise"),
    ],
)
def test_a_group_is_tried_again(outcome, failures, limit, wait):
    cluster = prepared()
    cluster.end("triage-r1-00", outcome)
    settle(cluster)
    if wait:
        assert "triage-r1-00-a2" not in cluster.jobs
        cluster.pass_time(wait)
        settle(cluster)
    tried = group(cluster, "00")
    assert (tried.attempt, tried.failures, tried.memory_limit) == (2, failures, limit)
    container = cluster.manifests["triage-r1-00-a2"]["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"]["memory"] == limit
    assert cluster.status.conditions[0].status == "True", "a group's retry does not unset Ready"


def test_at_the_most_memory_the_group_fails_and_says_what_to_do():
    cluster = prepared(memory=MemorySpec(max_per_job="1200Mi"), max_failed_groups=3)
    cluster.end("triage-r1-00", Outcome(75))
    settle(cluster)
    assert group(cluster, "00").memory_limit == "1200Mi"
    cluster.end("triage-r1-00-a2", Outcome(137, "OOMKilled"))
    settle(cluster)
    failed = group(cluster, "00")
    assert (failed.phase, failed.reason) == (GroupPhase.FAILED, "MemoryLimitReached")
    assert "raise memory.maxPerJob" in failed.message
    limited = cluster.status.conditions[-1]
    assert (limited.type, limited.status) == ("MemoryLimited", "True")
    assert limited.reason == "MemoryLimitReached"


def test_a_group_fails_after_its_retries_and_not_before():
    cluster = prepared(backoff_limit=2)
    for attempt in ("", "-a2", "-a3"):
        assert group(cluster, "00").phase is GroupPhase.RUNNING
        cluster.end(
            f"triage-r1-00{attempt}", Outcome(69, message=Failure(exit_code=69, message="x"))
        )
        settle(cluster)
        cluster.pass_time(600)
        settle(cluster)
    assert group(cluster, "00").phase is GroupPhase.FAILED
    assert group(cluster, "00").message == "x"


def test_a_job_that_vanished_is_created_again_as_the_same_attempt():
    cluster = prepared()
    cluster.remove("triage-r1-00")
    settle(cluster)
    assert cluster.created["triage-r1-00"] == 2
    assert group(cluster, "00").attempt == 1


def test_a_job_being_deleted_is_neither_there_nor_gone():
    cluster = prepared()
    job = cluster.jobs["triage-r1-00"]
    cluster.jobs["triage-r1-00"] = replace(job, state=JobState.DELETING, exit_code=0)
    settle(cluster)
    assert group(cluster, "00").phase is GroupPhase.RUNNING
    assert cluster.created["triage-r1-00"] == 1


def test_the_next_run_starts_a_group_at_what_its_last_peak_suggests():
    cluster = prepared()
    cluster.end("triage-r1-00", Outcome(message=group_result("00", peak_memory=1024**3)))
    settle(cluster)
    for _ in range(3):
        end_all(cluster)
    cluster.annotations[RETRAIN_ANNOTATION] = "again"
    settle(cluster)
    assert (group(cluster, "00").memory_limit, group(cluster, "01").memory_limit) == (
        "1281Mi",
        "1Gi",
    )


def test_lost_data_is_prepared_again_once_for_all_groups_that_miss_it():
    cluster = prepared()
    cluster.pass_time(60)
    for name in ("triage-r1-00", "triage-r1-01"):
        cluster.end(name, Outcome(66))
    settle(cluster)
    assert cluster.live() == ["triage-r1-prepare-a2"]
    cluster.end("triage-r1-prepare-a2")
    settle(cluster)
    assert cluster.live() == ["triage-r1-00-a2", "triage-r1-01-a2"]


def test_a_group_that_missed_the_data_before_it_was_restored_only_tries_again():
    cluster = prepared()
    cluster.pass_time(60)
    cluster.end("triage-r1-00", Outcome(66))
    settle(cluster)
    cluster.end("triage-r1-prepare-a2")
    settle(cluster)
    cluster.end("triage-r1-01", Outcome(66))
    settle(cluster)
    assert live(cluster) == ["00", "01"]
    assert "triage-r1-prepare-a3" not in cluster.created


def test_an_archive_that_misses_the_data_waits_for_prepare_alone():
    cluster = prepared()
    end_all(cluster)
    assert live(cluster) == ["00_01", "archive"]
    cluster.pass_time(60)
    cluster.end("triage-r1-archive-1", Outcome(66))
    settle(cluster)
    restored = PrepareResult(restored_groups=["00", "01"])
    cluster.end("triage-r1-prepare-a2", Outcome(message=restored))
    settle(cluster)
    assert "triage-r1-archive-2" in cluster.live(), "no pause of its own"


def test_what_no_archive_holds_is_trained_again_after_the_data_was_lost():
    cluster = prepared(nodes=3)
    for key in ("00", "01", "02"):
        cluster.end(f"triage-r1-{key}")
    settle(cluster)
    cluster.end("triage-r1-archive-1")
    cluster.end("triage-r1-00-01")
    settle(cluster)
    cluster.pass_time(60)
    cluster.end("triage-r1-00-02", Outcome(66))
    cluster.end("triage-r1-01-02", Outcome(66))
    settle(cluster)
    assert live(cluster) == ["prepare"]
    cluster.end(
        "triage-r1-prepare-a2", Outcome(message=PrepareResult(restored_groups=["00", "01", "02"]))
    )
    settle(cluster)
    assert live(cluster) == ["00_01", "00_02", "01_02"]
    assert [group(cluster, key).attempt for key in ("00", "00_01")] == [1, 2]
    # It may have ended after the loss as well, with the new server before anyone missed the data.
    assert [event.message for event in cluster.events if event.reason == "GroupLost"] == [
        "group 00_01 had finished when the run's data was restored, and stands in no archive"
    ]
