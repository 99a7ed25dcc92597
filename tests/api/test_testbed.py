"""The test bed itself: what is up, and that kwok's workers end as real ones do."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from api.kwok import lost_node
from api.rest import wait_for
from api.scenarios import scenario
from cascade_operator.api.records import (
    ArchiveResult,
    Failure,
    GroupResult,
    PrepareResult,
    decode_message,
)
from cascade_operator.control.manifests import labels


def worker_job(name, stage="group", *, group="", attempt=1, args=(), kubernetes="", **settings):
    """The Job of a worker, without the rest of what the planner writes."""
    marks = {labels.STAGE: stage, labels.ATTEMPT: str(attempt)}
    if group:
        marks[labels.GROUP] = group
    container = {
        "name": "worker",
        "image": "cascade",
        "command": ["cascade", "worker", stage],
        "args": list(args),
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": marks},
        "spec": {
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "Ignore",
                        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                    }
                ]
            },
            "template": {
                "metadata": {"labels": marks, "annotations": scenario(**settings)},
                "spec": {"restartPolicy": "Never", "containers": [container]},
            },
        },
    }


@pytest.fixture
def jobs(control_plane, namespace):
    """Creates Jobs, and waits for what becomes of them."""
    return Jobs(control_plane.rest, namespace)


class Jobs:
    def __init__(self, rest, namespace):
        self.rest = rest
        self.path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self.pods_path = f"/api/v1/namespaces/{namespace}/pods"

    def create(self, manifest):
        self.rest.create(self.path, manifest)
        return manifest["metadata"]["name"]

    def pods(self, name):
        selector = f"batch.kubernetes.io/job-name={name}"
        return self.rest.get(self.pods_path, labelSelector=selector)["items"]

    def pod(self, name, phase):
        """Waits for the Job's newest pod to be in a phase."""

        def probe():
            return next((p for p in self.pods(name) if p["status"]["phase"] == phase), None)

        return wait_for(f"a pod of {name} is {phase}", probe)

    def names(self):
        """The names of all pods."""
        return {pod["metadata"]["name"] for pod in self.rest.get(self.pods_path)["items"]}

    def annotate(self, pod, **settings):
        """Changes what a pod's worker does."""
        path = f"{self.pods_path}/{pod['metadata']['name']}"
        self.rest.merge(path, {"metadata": {"annotations": scenario(**settings)}})

    def ended(self, name):
        """Waits for the Job's end; returns the type of its condition."""

        def probe():
            conditions = self.rest.get(f"{self.path}/{name}")["status"].get("conditions") or []
            kinds = {c["type"] for c in conditions if c["status"] == "True"}
            return kinds & {"Complete", "Failed"}

        return next(iter(wait_for(f"{name} ends", probe)))


def _true_conditions(pod):
    return {c["type"] for c in pod["status"]["conditions"] if c["status"] == "True"}


def _terminated(pod):
    (status,) = pod["status"]["containerStatuses"]
    return status["state"]["terminated"]


def test_the_server_is_the_pinned_one_and_has_the_stricter_admission(control_plane):
    assert control_plane.rest.get("/version")["gitVersion"] == "v1.34.4"
    metrics = control_plane.rest.get("/metrics")["text"]
    used = 'name="OwnerReferencesPermissionEnforcement"'
    assert used in metrics


@pytest.mark.parametrize(
    ("settings", "stage", "code", "reason", "kind"),
    [
        ({}, "prepare", 0, "Completed", PrepareResult),
        ({}, "group", 0, "Completed", GroupResult),
        ({}, "archive", 0, "Completed", ArchiveResult),
        ({"outcome": "gate"}, "group", 75, "Error", Failure),
        ({"outcome": "oom"}, "group", 137, "OOMKilled", None),
        ({"outcome": "fail-69"}, "group", 69, "Error", Failure),
        ({"outcome": "no-message"}, "group", 0, "Completed", None),
        ({"outcome": "garbage-message"}, "group", 0, "Completed", None),
        ({"outcome": "oom", "outcome.00_02.a1": "fail-64"}, "group", 64, "Error", Failure),
        ({"outcome.group.a2": "oom"}, "group", 0, "Completed", GroupResult),
    ],
    ids=[
        *("prepare", "group", "archive", "memory-gate", "oom", "unavailable", "silent"),
        *("garbage", "the-narrowest-wins", "another-attempt"),
    ],
)
def test_a_worker_ends_as_its_annotations_ask(jobs, settings, stage, code, reason, kind):
    group = "00_02" if stage == "group" else ""
    args = ("--kind", "final", "--groups", "00,02,00_02") if stage == "archive" else ()
    name = jobs.create(
        worker_job("one", stage, group=group, args=args, **{"run-seconds": "0.1"}, **settings)
    )
    assert jobs.ended(name) == ("Complete" if code == 0 else "Failed")
    (pod,) = jobs.pods(name)
    end = _terminated(pod)
    assert (end["exitCode"], end["reason"]) == (code, reason)
    assert end["startedAt"] <= end["finishedAt"]
    message = decode_message(end.get("message", ""))
    assert message is None if kind is None else isinstance(message, kind)
    match message:
        case GroupResult():
            assert (message.group, message.score) == ("00_02", pytest.approx(0.30))
        case ArchiveResult():
            assert message.final
            assert message.groups == ["00", "02", "00_02"]
            assert [one.group_size for one in message.archives] == [1, 2]
        case Failure():
            assert message.exit_code == code


def test_a_message_may_be_given_word_for_word(jobs):
    text = json.dumps({"kind": "prepare", "records": 3, "restoredGroups": ["00"]})
    name = jobs.create(worker_job("one", "prepare", message=text, **{"run-seconds": "0"}))
    jobs.ended(name)
    assert _terminated(jobs.pods(name)[0])["message"] == text


def test_a_held_worker_runs_until_its_annotation_changes(jobs):
    name = jobs.create(worker_job("one", "prepare", outcome="hold", **{"run-seconds": "0"}))
    pod = jobs.pod(name, "Running")
    jobs.annotate(pod, outcome="complete")
    assert jobs.ended(name) == "Complete"


def test_workers_end_together_at_a_given_time(jobs):
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3)
    until = {"run-until": end.isoformat().replace("+00:00", "Z")}
    names = [jobs.create(worker_job(f"job-{i}", group="00", **until)) for i in range(3)]
    for name in names:
        jobs.ended(name)
    ends = {_terminated(jobs.pods(name)[0])["finishedAt"] for name in names}
    assert all(datetime.fromisoformat(one) - end < timedelta(seconds=2) for one in ends)
    assert min(ends) >= until["run-until"]


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [("image-pull", "ImagePullBackOff"), ("config-error", "CreateContainerConfigError")],
)
def test_a_worker_that_cannot_start_says_why(jobs, outcome, reason):
    name = jobs.create(worker_job("one", outcome=outcome))

    def waiting():
        for pod in jobs.pods(name):
            for status in pod["status"].get("containerStatuses", []):
                return status["state"].get("waiting")
        return None

    assert wait_for("it waits", waiting)["reason"] == reason


def test_a_worker_that_is_evicted_or_loses_its_node_is_replaced(control_plane, jobs):
    # Both in one test: a Job waits ten seconds before it replaces a pod.
    evicted, moved = (
        jobs.create(worker_job(name, outcome="hold", **{"run-seconds": "0"}))
        for name in ("evicted", "moved")
    )
    first = {name: jobs.pod(name, "Running") for name in (evicted, moved)}
    jobs.annotate(first[evicted], outcome="evict")
    ended = jobs.pod(evicted, "Failed")
    assert ended["status"]["reason"] == "Evicted"
    assert "DisruptionTarget" in _true_conditions(ended)
    with lost_node(control_plane.rest, first[moved]["spec"]["nodeName"]):
        wait_for("its pod leaves", lambda: first[moved]["metadata"]["name"] not in jobs.names())
        second = {name: jobs.pod(name, "Running") for name in (evicted, moved)}
    for name in (evicted, moved):
        assert second[name]["metadata"]["uid"] != first[name]["metadata"]["uid"]
        # What was taken from it is not held against it.
        assert "failed" not in jobs.rest.get(f"{jobs.path}/{name}")["status"]


def test_a_deleted_job_tells_its_worker_to_stop_and_is_gone(jobs):
    name = jobs.create(worker_job("one", outcome="hold", **{"grace-seconds": "0.5"}))
    pod = f"{jobs.pods_path}/{jobs.pod(name, 'Running')['metadata']['name']}"
    # Kept for a look at it: a pod that has ended is gone at once.
    jobs.rest.merge(pod, {"metadata": {"finalizers": ["batch.kubernetes.io/job-tracking", "a/b"]}})
    jobs.rest.delete(f"{jobs.path}/{name}", propagationPolicy="Foreground")
    told = jobs.pod(name, "Failed")
    assert told["metadata"]["deletionTimestamp"]
    assert _terminated(told)["exitCode"] == 143
    assert decode_message(_terminated(told)["message"]).reason == "Terminated"
    jobs.rest.merge(pod, {"metadata": {"finalizers": None}})
    wait_for("its pod is gone", lambda: not jobs.pods(name))


def test_each_part_can_be_stopped_and_started(control_plane, jobs):
    name = jobs.create(worker_job("one", "prepare", outcome="hold", **{"run-seconds": "0"}))
    pod = jobs.pod(name, "Running")
    control_plane.etcd.pause()
    with pytest.raises(TimeoutError):
        jobs.rest.request("GET", f"{jobs.pods_path}/{pod['metadata']['name']}", seconds=0.5)
    control_plane.etcd.resume()
    assert jobs.pods(name)
    control_plane.apiserver.kill()
    with pytest.raises(OSError, match="refused"):
        jobs.pods(name)
    control_plane.start_apiserver()
    jobs.annotate(pod, outcome="complete")
    assert jobs.ended(name) == "Complete"
