"""Children that the API server refuses: said, why, and for how long only."""

import asyncio

import pytest

from cascade_operator.control.domain.model import JobState, PodView, Refusal
from cascade_operator.control.domain.policies.diagnosis import diagnose_refusal
from cascade_operator.control.kube.port import NameConflictError, RefusedError
from cascade_operator.control.loop.reconcile import reconcile_once
from fakes.cluster import KEY, OVER_QUOTA, FakeCluster
from fakes.run_steps import PREPARE, group, prepared, settle

INVALID = Refusal("Invalid", 'spec.template.spec.containers[0].image: Required value: ""')
FORBIDDEN = Refusal("Forbidden", "User cannot create resource jobs in API group batch")


@pytest.mark.parametrize(
    ("refusal", "reason", "mend", "final"),
    [
        pytest.param(OVER_QUOTA, "QuotaExceeded", "spec.parallelism", False, id="quota"),
        pytest.param(FORBIDDEN, "Forbidden", "service account", False, id="not allowed"),
        pytest.param(INVALID, "JobRefused", "spec.jobTemplate", True, id="invalid"),
        pytest.param(
            Refusal("BadRequest", "unknown field"), "JobRefused", "jobTemplate", True, id="bad"
        ),
        pytest.param(
            Refusal("NameConflict", "it is another's"), "NameConflict", "rename", False, id="name"
        ),
        pytest.param(Refusal("Odd", "so it is"), "Forbidden", "admission", False, id="unknown"),
    ],
)
def test_what_a_refusal_says(refusal, reason, mend, final):
    found = diagnose_refusal(refusal)
    assert (found.reason, found.message, found.final) == (reason, refusal.message, final)
    assert mend in found.mend


def turns(cluster, count=3):
    """Turns of a queue that tries again what is refused."""
    for _ in range(count):
        try:
            asyncio.run(reconcile_once(cluster, KEY, cluster.now))
        except (RefusedError, NameConflictError):
            continue


def refused(refusal, *names):
    cluster = FakeCluster(refused_names={*names} or {PREPARE}, refusal=refusal)
    turns(cluster)
    return cluster


def conditions(cluster):
    return {c.type.value: (c.status, c.reason) for c in cluster.status.conditions}


def ready_message(cluster):
    return next(c.message for c in cluster.status.conditions if c.type == "Ready")


def test_a_quota_blocks_the_run_and_stalls_it_after_its_deadline():
    cluster = refused(OVER_QUOTA)
    assert conditions(cluster)["Reconciling"] == ("True", "QuotaExceeded")
    assert "Stalled" not in conditions(cluster)
    assert ready_message(cluster).startswith(f"Job {PREPARE}: {OVER_QUOTA.message}; raise")
    assert cluster.status.run.prepare.reason == "QuotaExceeded"
    assert cluster.reasons().count("QuotaExceeded") == 1
    cluster.pass_time(3600)
    turns(cluster)
    assert conditions(cluster)["Stalled"] == ("True", "QuotaExceeded")
    writes = cluster.writes
    cluster.pass_time(60)
    turns(cluster)
    assert cluster.writes == writes


def test_a_job_that_is_wrong_stalls_at_once_and_a_mended_spec_ends_it():
    cluster = refused(INVALID)
    assert conditions(cluster)["Stalled"] == ("True", "JobRefused")
    cluster.generation += 1
    cluster.spec = cluster.spec.model_copy(update={"backoff_limit": 5})
    cluster.refused_names.clear()
    turns(cluster, 1)
    assert "Stalled" not in conditions(cluster)  # the verdict was on the spec before
    turns(cluster)
    assert conditions(cluster)["Ready"] == ("False", "Preparing")
    assert cluster.status.run.prepare.reason == ""
    assert cluster.live() == [PREPARE]


def test_a_config_map_that_is_refused_blocks_as_well():
    cluster = refused(FORBIDDEN, "triage-r1-config", PREPARE)
    assert ready_message(cluster).startswith("ConfigMap triage-r1-config: User cannot")
    cluster.refused_names.clear()
    turns(cluster)
    assert conditions(cluster)["Ready"] == ("False", "Preparing")


def test_an_operator_that_was_restarted_says_nothing_else_before_it_has_asked_again():
    cluster = refused(OVER_QUOTA)
    cluster.pass_time(3600)
    turns(cluster)
    writes = cluster.writes
    assert conditions(cluster)["Stalled"] == ("True", "QuotaExceeded")
    cluster.refused.clear()
    turns(cluster)
    assert cluster.writes == writes


def test_a_name_that_is_another_s_is_said_in_the_status():
    cluster = FakeCluster(foreign_names={PREPARE})
    turns(cluster)
    assert conditions(cluster)["Ready"] == ("False", "NameConflict")
    cluster.foreign_names.clear()
    settle(cluster)
    assert conditions(cluster)["Ready"] == ("False", "Preparing")


def test_a_quota_that_lets_some_train_is_told_of_the_others_alone():
    cluster = prepared()
    cluster.remove("triage-r1-00")
    cluster.refused_names.add("triage-r1-00")
    turns(cluster)
    assert conditions(cluster)["Ready"] == ("True", "Training")
    assert group(cluster, "00").reason == "QuotaExceeded"
    assert group(cluster, "01").reason == ""
    cluster.refused_names.clear()
    turns(cluster)
    assert (group(cluster, "00").reason, group(cluster, "00").message) == ("", "")


def test_a_pod_that_is_refused_blocks_the_run():
    cluster = FakeCluster()
    settle(cluster)
    cluster.put_off(PREPARE, PodView(PREPARE, refused=OVER_QUOTA.message))
    settle(cluster)
    assert conditions(cluster)["Ready"] == ("False", "QuotaExceeded")


def test_a_pod_that_is_taken_away_is_an_event_and_no_failure():
    cluster = prepared()
    name = "triage-r1-00"
    cluster.put_off(name, PodView(name, disrupted="DeletionByTaintManager: node n1 is lost"))
    settle(cluster)
    line = group(cluster, "00")
    assert (line.phase, line.failures, line.reason) == ("Running", 0, "Disrupted")
    assert "n1 is lost" in line.message
    assert conditions(cluster)["Ready"] == ("True", "Training")
    assert cluster.reasons().count("Disrupted") == 1
    cluster.run(name)
    settle(cluster)
    assert group(cluster, "00").reason == ""


def test_a_replaced_pod_has_its_own_deadline():
    """The attempt began long ago: what blocks its second pod has only just begun."""
    cluster = prepared(nodes=1)
    name = "triage-r1-00"
    cluster.pass_time(7200)
    cluster.put_off(name, PodView(name, unschedulable="0/3 nodes: Insufficient cpu"))
    cluster.jobs[name] = cluster.jobs[name].__class__(
        name, cluster.jobs[name].labels, JobState.PENDING, pending_since=cluster.now
    )
    settle(cluster)
    assert conditions(cluster)["Ready"] == ("False", "Unschedulable")
    assert "Stalled" not in conditions(cluster)
    cluster.pass_time(3600)
    settle(cluster)
    assert conditions(cluster)["Stalled"] == ("True", "Unschedulable")
