"""A run that cannot start says why, what to do, and when only a person can help."""

import pytest

from cascade_operator.api.status import Phase
from cascade_operator.control.domain.model import PROGRESS_SECONDS, PodView
from cascade_operator.control.domain.policies.diagnosis import diagnose
from fakes.cluster import FakeCluster
from fakes.run_steps import PREPARE, prepared, settle

NO_CLAIM = '0/3 nodes are available: persistentvolumeclaim "traces" not found.'
NO_CPU = "0/3 nodes are available: 3 Insufficient cpu."


def waiting(reason, message="so it is"):
    return PodView("j", waiting_reason=reason, waiting_message=message)


@pytest.mark.parametrize(
    ("pod", "reason", "mend"),
    [
        pytest.param(
            PodView("j", unschedulable=NO_CLAIM),
            "VolumeUnavailable",
            "PersistentVolumeClaim",
            id="claim missing",
        ),
        pytest.param(
            PodView("j", unschedulable="pod has unbound immediate PersistentVolumeClaims"),
            "VolumeUnavailable",
            "bound",
            id="claim unbound",
        ),
        pytest.param(
            PodView("j", unschedulable=NO_CPU), "Unschedulable", "spec.resources", id="no room"
        ),
        pytest.param(waiting("ImagePullBackOff"), "ImageUnavailable", "spec.image", id="image"),
        pytest.param(
            waiting("CreateContainerConfigError", 'secret "key" not found'),
            "ConfigUnavailable",
            "Secret",
            id="secret",
        ),
        pytest.param(
            waiting("RunContainerError"), "ContainerUnstartable", "cascade", id="no command"
        ),
        pytest.param(
            PodView("j", refused='pods "j-x" is forbidden: exceeded quota: q, requested: cpu=1'),
            "QuotaExceeded",
            "ResourceQuota",
            id="over a quota",
        ),
        pytest.param(
            PodView("j", refused='pods "j-x" is forbidden: failed quota: q: must specify cpu'),
            "QuotaExceeded",
            "spec.resources",
            id="a quota asks for requests",
        ),
        pytest.param(
            PodView("j", refused="maximum memory usage per Container is 1Gi, but limit is 2Gi"),
            "PodRefused",
            "LimitRange",
            id="limit range",
        ),
        pytest.param(
            PodView("j", refused='violates PodSecurity "restricted:latest": privileged'),
            "PodRefused",
            "spec.jobTemplate",
            id="pod security",
        ),
        pytest.param(
            PodView("j", refused="admission webhook denied it"), "PodRefused", "rule", id="webhook"
        ),
    ],
)
def test_what_a_pod_says(pod, reason, mend):
    found = diagnose(pod, 0.0)
    assert found.reason == reason
    assert mend in found.mend
    assert (pod.unschedulable or pod.waiting_message or pod.refused) in found.message


@pytest.mark.parametrize(
    ("pod", "seconds", "reason"),
    [
        pytest.param(None, 10, None, id="no pod yet"),
        pytest.param(None, 60, "NoPod", id="no pod for a minute"),
        pytest.param(PodView("j"), 600, None, id="it starts"),
        pytest.param(waiting("ContainerCreating"), 600, None, id="it is being made"),
    ],
)
def test_what_only_needs_time_is_no_finding(pod, seconds, reason):
    found = diagnose(pod, seconds)
    assert (found and found.reason) == reason


def blocked(pod=None):
    """A session whose prepare cannot start."""
    cluster = FakeCluster()
    settle(cluster)
    cluster.put_off(PREPARE, pod)
    return cluster


def conditions(cluster):
    return {c.type.value: (c.status, c.reason) for c in cluster.status.conditions}


def test_a_blocked_run_says_so_and_stalls_after_its_deadline():
    cluster = blocked(PodView(PREPARE, unschedulable=NO_CLAIM))
    assert settle(cluster) == PROGRESS_SECONDS
    assert conditions(cluster)["Reconciling"] == ("True", "VolumeUnavailable")
    assert conditions(cluster)["Ready"] == ("False", "VolumeUnavailable")
    assert "Stalled" not in conditions(cluster)
    (ready,) = [c for c in cluster.status.conditions if c.type == "Ready"]
    assert ready.message.startswith(f"Job {PREPARE}: {NO_CLAIM}")
    cluster.pass_time(3600)
    settle(cluster)
    assert conditions(cluster)["Stalled"] == ("True", "VolumeUnavailable")
    assert cluster.status.phase is Phase.PREPARING


def test_what_was_mended_is_forgotten():
    cluster = blocked(PodView(PREPARE, unschedulable=NO_CPU))
    cluster.pass_time(3600)
    settle(cluster)
    cluster.run(PREPARE)
    settle(cluster)
    assert conditions(cluster)["Ready"] == ("False", "Preparing")
    assert "Stalled" not in conditions(cluster)


def test_a_job_without_a_pod_is_looked_at_again_after_a_minute():
    cluster = blocked()
    settle(cluster)
    assert conditions(cluster)["Ready"] == ("False", "Preparing")
    cluster.pass_time(60)
    settle(cluster)
    assert conditions(cluster)["Ready"] == ("False", "NoPod")


def test_some_that_wait_while_others_train_block_nothing():
    cluster = prepared()
    cluster.put_off("triage-r1-00", PodView("triage-r1-00", unschedulable=NO_CPU))
    settle(cluster)
    assert conditions(cluster)["Ready"] == ("True", "Training")
    cluster.put_off("triage-r1-01", PodView("triage-r1-01", unschedulable=NO_CPU))
    settle(cluster)
    assert conditions(cluster)["Ready"] == ("False", "Unschedulable")


def test_held_by_a_queue_is_healthy():
    cluster = prepared()
    for name in ("triage-r1-00", "triage-r1-01"):
        cluster.put_off(name, held=True)
    settle(cluster)
    assert conditions(cluster)["Ready"] == ("True", "Queued")
    assert "Reconciling" not in conditions(cluster)
