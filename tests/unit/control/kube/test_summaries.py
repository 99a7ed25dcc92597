"""What a Job and its pod come to in one line."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.api.records import GroupResult, encode_message
from cascade_operator.control.domain.model import JobState
from cascade_operator.control.kube.summaries import (
    job_view,
    latest_pod,
    pod_view,
    same_but_version,
    summarise_job,
    summarise_pod,
)
from fakes.raw_objects import UID, condition, raw_job, raw_pod, worker_ended

COMPLETE = {"conditions": [condition("SuccessCriteriaMet"), condition("Complete")]}
RESULT = GroupResult(group="00", trials=7, score=0.5)


def failed(reason="BackoffLimitExceeded"):
    return {"conditions": [condition("Failed", reason=reason)]}


def view(job, pod=None):
    return job_view(summarise_job(job), None if pod is None else summarise_pod(pod))


@pytest.mark.parametrize(
    ("job", "pod", "state"),
    [
        pytest.param({}, None, JobState.PENDING, id="no pod yet"),
        pytest.param({}, {"phase": "Pending"}, JobState.PENDING, id="pod pending"),
        pytest.param({}, {"phase": "Running"}, JobState.RUNNING, id="pod running"),
        pytest.param({}, {"phase": "Succeeded"}, JobState.SUCCEEDED, id="its Job does not know"),
        pytest.param({}, {"phase": "Failed"}, JobState.PENDING, id="evicted, another follows"),
        pytest.param({"spec": {"suspend": True}}, None, JobState.HELD, id="held by a queue"),
        pytest.param({"status": COMPLETE}, {"phase": "Succeeded"}, JobState.SUCCEEDED, id="done"),
        pytest.param({"status": failed()}, {"phase": "Failed"}, JobState.FAILED, id="failed"),
        pytest.param(
            {"status": {"conditions": [condition("FailureTarget")]}},
            {"phase": "Running"},
            JobState.RUNNING,
            id="about to fail",
        ),
        pytest.param(
            {"status": {"conditions": [condition("SuccessCriteriaMet")]}},
            {"phase": "Succeeded"},
            JobState.SUCCEEDED,
            id="done but for its controller's bookkeeping",
        ),
        pytest.param(
            {"status": {"conditions": [condition("FailureTarget", reason="PodFailurePolicy")]}},
            {"phase": "Failed"},
            JobState.FAILED,
            id="failed but for its controller's bookkeeping",
        ),
        pytest.param(
            {"status": {"conditions": [condition("SuccessCriteriaMet")]}},
            None,
            JobState.DELETING,
            id="decided, its pod not seen",
        ),
        pytest.param(
            {"status": {"conditions": [condition("FailureTarget", reason="DeadlineExceeded")]}},
            None,
            JobState.DELETING,
            id="about to fail, its pod gone",
        ),
        pytest.param(
            {"status": COMPLETE, "metadata": {"deletionTimestamp": "2026-03-01T12:06:00Z"}},
            None,
            JobState.DELETING,
            id="being deleted",
        ),
    ],
)
def test_the_state(job, pod, state):
    job = raw_job(**job)
    assert view(job, None if pod is None else raw_pod(job, **pod)).state is state


def test_what_a_worker_left():
    job = raw_job(status=COMPLETE)
    statuses = worker_ended(0, "Completed", encode_message(RESULT))
    found = view(job, raw_pod(job, phase="Succeeded", containerStatuses=statuses))
    assert (found.exit_code, found.reason, found.message) == (0, "Completed", RESULT)
    assert found.started == datetime(2026, 3, 1, 12, 1, tzinfo=UTC)
    assert found.finished == datetime(2026, 3, 1, 12, 4, tzinfo=UTC)
    assert found.memory_limit == 1024**3


def test_nothing_is_told_of_a_worker_before_its_job_has_ended():
    job = raw_job()
    statuses = worker_ended(1, "Error", encode_message(RESULT))
    found = view(job, raw_pod(job, phase="Failed", containerStatuses=statuses))
    assert (found.exit_code, found.reason, found.message, found.finished) == (None, "", None, None)


@pytest.mark.parametrize(
    ("reason", "pod_reason", "container", "told"),
    [
        pytest.param("BackoffLimitExceeded", "", "OOMKilled", "OOMKilled", id="out of memory"),
        pytest.param("DeadlineExceeded", "", "Error", "DeadlineExceeded", id="deadline"),
        pytest.param("DeadlineExceeded", "", "OOMKilled", "OOMKilled", id="memory, then deadline"),
        pytest.param("BackoffLimitExceeded", "Evicted", "Error", "Evicted", id="evicted"),
        pytest.param("PodFailurePolicy", "", "Error", "Error", id="the worker's own"),
        pytest.param("BackoffLimitExceeded", "", "", "BackoffLimitExceeded", id="nobody knows"),
    ],
)
def test_why_a_job_failed(reason, pod_reason, container, told):
    job = raw_job(status=failed(reason))
    pod = raw_pod(
        job, phase="Failed", reason=pod_reason, containerStatuses=worker_ended(1, container)
    )
    assert view(job, pod).reason == told


@pytest.mark.parametrize(
    "message",
    [
        pytest.param("no JSON", id="text"),
        pytest.param('{"kind": "group"', id="cut"),
        pytest.param('{"kind": "group", "group": "00", "score": 7}', id="out of range"),
        pytest.param("x" * 5000, id="too long"),
        pytest.param("\ud800", id="a lone surrogate"),
        pytest.param(["a", "list"], id="no text"),
    ],
)
def test_a_message_that_is_not_ours_is_none(message):
    job = raw_job(status=COMPLETE)
    pod = raw_pod(job, phase="Succeeded", containerStatuses=worker_ended(0, message=message))
    assert view(job, pod).message is None


def test_the_newest_pod_of_the_job_itself_counts():
    job, namesake = raw_job(uid="mine"), raw_job(uid="deleted-before")
    pods = [
        raw_pod(job, phase="Failed", created="2026-03-01T12:00:00Z", uid="first"),
        raw_pod(job, phase="Running", created="2026-03-01T12:03:00Z", uid="second"),
        raw_pod(namesake, phase="Running", created="2026-03-01T12:09:00Z", uid="other"),
    ]
    found = latest_pod(summarise_job(job), [summarise_pod(pod) for pod in pods])
    assert found.uid == "second"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"ownerReferences": []}, id="no owner"),
        pytest.param({"labels": {}}, id="no label"),
        pytest.param(
            {"ownerReferences": [{"kind": "CronJob", "uid": UID, "controller": True}]}, id="kind"
        ),
        pytest.param(
            {"ownerReferences": [{"kind": "TrainingSession", "uid": "x", "controller": True}]},
            id="another session's",
        ),
    ],
)
def test_a_job_that_only_bears_our_label_is_not_ours(change):
    assert summarise_job(raw_job(metadata=change)) is None


def test_a_pod_says_why_it_does_not_start():
    job = raw_job()
    waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "x"'}
    pod = raw_pod(
        job,
        phase="Pending",
        conditions=[condition("PodScheduled", "False", message="0/3 nodes are available")],
        initContainerStatuses=[{"name": "i", "state": {"waiting": {"reason": "PodInitializing"}}}],
        containerStatuses=[{"name": "worker", "state": {"waiting": waiting}}],
    )
    found = pod_view(summarise_pod(pod))
    assert found.unschedulable == "0/3 nodes are available"
    assert (found.waiting_reason, found.waiting_message) == (
        "ImagePullBackOff",
        'Back-off pulling image "x"',
    )


def test_a_pod_that_was_taken_away_says_by_whom():
    job = raw_job()
    conditions = [condition("DisruptionTarget", reason="EvictionByEvictionAPI", message="drained")]
    pod = raw_pod(job, phase="Failed", conditions=conditions, containerStatuses=worker_ended(143))
    assert pod_view(summarise_pod(pod)).disrupted == "EvictionByEvictionAPI: drained"
    assert view(job, pod).pending_since == datetime(2026, 3, 1, 12, 4, tzinfo=UTC)


def test_a_queue_that_lets_a_job_go_starts_its_waiting():
    job = raw_job(status={"conditions": [condition("Suspended", "False")]})
    assert view(job).pending_since == datetime(2026, 3, 1, 12, 5, tzinfo=UTC)


def test_a_heartbeat_is_no_change():
    one, other = raw_job(version=3, uid="j"), raw_job(version=4, uid="j")
    other["metadata"]["managedFields"] = []
    assert same_but_version(summarise_job(one), summarise_job(other))
    changed = raw_job(version=5, uid="j", status=COMPLETE)
    assert not same_but_version(summarise_job(one), summarise_job(changed))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@given(st.sampled_from(["metadata", "spec", "status"]), JSON)
def test_no_object_is_too_odd_to_be_read(part, value):
    job = raw_job()
    pod = raw_pod(job)
    for raw, summarise in ((job, summarise_job), (pod, summarise_pod)):
        summarise({**raw, part: value})
        summarise({**raw, part: {**raw.get(part, {}), "conditions": value}})
        summarise({**raw, "status": {"containerStatuses": value, "conditions": [value]}})
