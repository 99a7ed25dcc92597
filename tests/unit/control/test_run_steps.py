"""A run step by step: what is written, created and deleted, and when."""

from datetime import datetime, timedelta, timezone

import pytest

from cascade_operator.api.models_spec import ModelSpec, ModelsSpec
from cascade_operator.api.records import Failure
from cascade_operator.api.search_spec import BudgetSpec, GroupsSpec, OptimizerSpec
from cascade_operator.api.status import GroupPhase, Phase
from cascade_operator.control.domain.model import CreateConfigMap, CreateJob, JobState
from cascade_operator.control.domain.plan import plan
from cascade_operator.control.manifests.labels import RETRAIN_ANNOTATION
from fakes.cluster import START, FakeCluster, Outcome, spec_of
from fakes.run_steps import PREPARE, end_all, finished, group, live, prepared, settle


def test_a_start_is_written_before_anything_is_created():
    cluster = FakeCluster()
    first = plan(cluster.seen(), cluster.now)
    assert first.actions == ()
    assert first.status.run.prepare.job_name == PREPARE
    assert [e.reason for e in first.events] == ["RunStarted"]
    cluster.status = first.status
    second = plan(cluster.seen(), cluster.now)
    assert [type(a) for a in second.actions] == [CreateConfigMap, CreateJob]
    assert second.actions[1].manifest["metadata"]["name"] == PREPARE
    assert second.status == first.status
    assert second.events == ()
    settle(cluster)
    assert plan(cluster.seen(), cluster.now).actions == (), "what is there is not asked for again"


def test_times_in_status_are_whole_seconds_in_utc():
    cluster = prepared()
    end_all(cluster)
    end_all(cluster)
    cluster.end("triage-r1-archive-2")
    now = datetime(2026, 3, 1, 14, 0, 0, 987654, tzinfo=timezone(timedelta(hours=2)))
    run = plan(cluster.seen(), now).status.run
    assert run.completion_time.isoformat() == "2026-03-01T12:00:00+00:00"


def test_a_run_from_prepare_to_complete():
    cluster = FakeCluster()
    settle(cluster)
    assert live(cluster) == ["prepare"]
    assert cluster.status.phase is Phase.PREPARING
    cluster.end(PREPARE)
    settle(cluster)
    assert live(cluster) == ["00", "01"]
    end_all(cluster)
    assert live(cluster) == ["00_01", "archive"]
    assert cluster.arguments("triage-r1-archive-1") == [
        "--kind",
        "progressive",
        "--groups",
        "00,01",
    ]
    end_all(cluster)
    assert live(cluster) == ["archive"]
    assert cluster.status.phase is Phase.ARCHIVING
    final = ["--kind", "final", "--groups", "00,01,00_01"]
    assert cluster.arguments("triage-r1-archive-2") == final
    end_all(cluster)
    status = cluster.status
    assert status.phase is Phase.COMPLETE
    assert status.run.completion_time == START
    assert (status.best.group, status.best.score) == ("00_01", "0.2800")
    assert (status.best.held_out, status.best.improvement) == ("0.2650", "0.0150")
    assert [a.group_size for a in status.archives] == [1, 2]
    assert [(h.number, h.phase) for h in status.history] == [(1, Phase.COMPLETE)]
    (entry,) = status.history
    assert (entry.trigger, entry.reason) == ("SpecChanged", "Complete")
    assert entry.start_time == status.run.start_time
    assert status.progress.percent == 100
    writes = cluster.writes
    cluster.pass_time(10**6)
    assert settle(cluster) is None
    assert cluster.writes == writes


def test_groups_are_told_their_subsets_and_their_time():
    cluster = prepared(budget=BudgetSpec(max_duration="1h"))
    cluster.pass_time(600)
    end_all(cluster)
    assert cluster.arguments("triage-r1-00-01") == [
        *["--group", "00_01", "--attempt", "1", "--seconds-left", "3000"],
        *["--lattice-parents", "00,01"],
    ]
    job = cluster.manifests["triage-r1-00-01"]
    assert job["spec"]["activeDeadlineSeconds"] == 3600
    assert group(cluster, "00_01").lattice_parents == ["00", "01"]


def test_a_group_that_the_deadline_finds_waiting_still_scores_its_baseline():
    cluster = prepared(budget=BudgetSpec(max_duration="1h"))
    cluster.pass_time(7200)
    end_all(cluster)
    assert "--seconds-left 0" in " ".join(cluster.arguments("triage-r1-00-01"))


def test_without_the_lattice_all_groups_start_at_once():
    cluster = prepared(optimizer=OptimizerSpec(lattice=False))
    assert live(cluster) == ["00", "00_01", "01"]
    assert "--lattice-parents" not in cluster.arguments("triage-r1-00-01")


def test_a_failed_subset_holds_nobody_and_gives_nothing():
    cluster = prepared(max_failed_groups=1)
    cluster.end("triage-r1-00", Outcome(65))
    cluster.end("triage-r1-01")
    settle(cluster)
    assert group(cluster, "00").phase is GroupPhase.FAILED
    assert group(cluster, "00_01").lattice_parents == ["01"]
    end_all(cluster)
    end_all(cluster)
    assert cluster.status.phase is Phase.COMPLETE
    complete = next(c for c in cluster.status.conditions if c.type == "Complete")
    assert "00 (InvalidData)" in complete.message


def test_too_many_failed_groups_fail_the_run_after_its_archive():
    cluster = prepared()
    cluster.end("triage-r1-00", Outcome(64, message=Failure(exit_code=64, message="no such field")))
    cluster.end("triage-r1-01")
    settle(cluster)
    end_all(cluster)
    assert live(cluster) == ["archive"]
    end_all(cluster)
    assert cluster.status.phase is Phase.FAILED
    assert cluster.status.best.group == "00_01"
    assert len(cluster.status.archives) == 2
    assert group(cluster, "00").message == "no such field"
    assert cluster.reasons()[-1] == "GroupsFailed"


def test_a_run_in_which_nothing_succeeded_ends_without_an_archive():
    cluster = prepared()
    end_all(cluster, Outcome(65))
    end_all(cluster, Outcome(65))
    assert cluster.status.phase is Phase.FAILED
    assert "triage-r1-archive-1" not in cluster.created


def test_a_changed_spec_replaces_the_run_and_then_deletes_its_jobs():
    cluster = prepared()
    cluster.spec = spec_of(optimizer=OptimizerSpec(seed=7))
    step = plan(cluster.seen(), cluster.now)
    assert step.actions == (), "the old Jobs go once the new run stands in status"
    settle(cluster)
    assert {n: j.state for n, j in cluster.jobs.items() if not j.state.ended} == {
        "triage-r1-00": JobState.DELETING,
        "triage-r1-01": JobState.DELETING,
        "triage-r2-prepare": JobState.RUNNING,
    }
    (entry,) = cluster.status.history
    assert (entry.number, entry.phase, entry.reason) == (1, Phase.TRAINING, "Replaced")
    assert cluster.status.run.session_id > "20260301T120000Z"


def test_jobs_of_a_replaced_run_hold_their_memory_until_they_have_ended():
    cluster = prepared(parallelism=2)
    cluster.spec = spec_of(parallelism=2, optimizer=OptimizerSpec(seed=7))
    settle(cluster)
    assert cluster.status.run.number == 2
    assert "triage-r2-prepare" not in cluster.jobs
    cluster.remove("triage-r1-00")
    settle(cluster)
    assert "triage-r2-prepare" in cluster.jobs


@pytest.mark.parametrize(
    ("change", "number", "trigger"),
    [
        pytest.param({}, 1, "SpecChanged", id="nothing changed"),
        pytest.param({"parallelism": 3}, 1, "SpecChanged", id="a field that trains nothing"),
        pytest.param(
            {"models": ModelsSpec(task=ModelSpec(model="other"))}, 2, "SpecChanged", id="the model"
        ),
    ],
)
def test_what_starts_another_run(change, number, trigger):
    cluster = finished()
    cluster.spec = spec_of(**change)
    settle(cluster)
    assert (cluster.status.run.number, cluster.status.run.trigger) == (number, trigger)


def test_a_new_value_of_the_annotation_retrains_once():
    cluster = finished()
    cluster.annotations[RETRAIN_ANNOTATION] = "monday"
    settle(cluster)
    assert (cluster.status.run.number, cluster.status.run.trigger) == (2, "Retrain")
    complete = next(c for c in cluster.status.conditions if c.type == "Complete")
    assert complete.status == "False"
    assert cluster.status.last_retrain_request == "monday"
    assert cluster.status.run.session_id == "20260301T120001Z", "a second after the last one's"
    settle(cluster)
    assert cluster.status.run.number == 2


def test_a_request_that_was_met_is_remembered_while_the_annotation_is_away():
    cluster = finished()
    cluster.annotations[RETRAIN_ANNOTATION] = "monday"
    settle(cluster)
    cluster.annotations.clear()
    cluster.spec = spec_of(optimizer=OptimizerSpec(seed=7))
    settle(cluster)
    cluster.annotations[RETRAIN_ANNOTATION] = "monday"
    settle(cluster)
    assert cluster.status.run.number == 3


def test_an_annotation_that_was_there_first_starts_one_run_not_two():
    cluster = FakeCluster(annotations={RETRAIN_ANNOTATION: "monday"})
    settle(cluster)
    settle(cluster)
    assert cluster.status.run.number == 1


def test_a_session_being_deleted_is_left_alone():
    cluster = FakeCluster(deleting=True)
    assert settle(cluster) is None
    assert (cluster.jobs, cluster.writes) == ({}, 0)


def test_an_invalid_spec_stalls_until_the_generation_changes():
    cluster = FakeCluster(spec=None)
    assert settle(cluster) is None
    truths = {c.type.value: (c.status, c.reason) for c in cluster.status.conditions}
    assert truths["Stalled"] == ("True", "InvalidSpec")
    assert truths["Ready"] == ("False", "InvalidSpec")
    assert cluster.status.observed_generation == 1
    assert cluster.reasons() == ["InvalidSpec"]
    cluster.spec, cluster.generation = spec_of(), 2
    settle(cluster)
    assert "Stalled" not in {c.type for c in cluster.status.conditions}
    assert live(cluster) == ["prepare"]


def test_a_run_that_is_over_stays_as_it_ended_whatever_its_limits_become():
    cluster = prepared()
    end_all(cluster, Outcome(65))
    end_all(cluster)
    end_all(cluster)
    assert cluster.status.phase is Phase.FAILED
    cluster.spec, cluster.generation = spec_of(max_failed_groups=3), 2
    settle(cluster)
    assert cluster.status.phase is Phase.FAILED
    assert {c.observed_generation for c in cluster.status.conditions} == {2}


@pytest.mark.parametrize(
    ("groups", "text"),
    [
        pytest.param(GroupsSpec(sizes=[5]), "spec.groups selects no group", id="nothing selected"),
        pytest.param(
            GroupsSpec(include=[["nobody"]]),
            "spec.groups names the unknown node 'nobody'",
            id="unknown node",
        ),
    ],
)
def test_a_selection_that_cannot_be_is_invalid_and_no_crash(groups, text):
    cluster = FakeCluster(spec=spec_of(groups=groups))
    assert settle(cluster) is None
    stalled = next(c for c in cluster.status.conditions if c.type == "Stalled")
    assert (stalled.reason, stalled.message) == ("InvalidSpec", text)
    assert cluster.jobs == {}
