"""What is kept of a Job and of a pod (82): a line each, whatever the object's size. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from sys import intern
from typing import Any, Final

from cascade_operator.api.quantity import parse_quantity
from cascade_operator.api.records import MAX_MESSAGE_BYTES, decode_message
from cascade_operator.control.domain.model import JobState, JobView, PodView
from cascade_operator.control.kube.fields import (
    mapping,
    number,
    objects,
    text,
    time_of,
    version_of,
)
from cascade_operator.control.manifests import labels as names
from cascade_operator.control.manifests.job import CONTAINER

_LABELS: Final = (
    *(names.SESSION_UID, names.RUN, names.STAGE, names.GROUP),
    *(names.ATTEMPT, names.ARCHIVE_KIND),
)
_WORDS: Final = 300
# These conditions say no more than that the Job's pod failed.
_POD_FAILED: Final = frozenset({"", "BackoffLimitExceeded", "PodFailurePolicy"})


@dataclass(frozen=True, slots=True)
class JobSummary:
    """What is kept of a Job.

    Attributes:
        namespace: Where it is.
        name: Its name.
        uid: Its uid.
        version: Its resource version.
        session: The name of the session that owns it.
        session_uid: That session's uid.
        labels: Those of ours.
        deleting: It has a deletion timestamp.
        suspended: ``spec.suspend``.
        ended: ``Complete``, ``Failed``, or empty while it has not ended.
        decided: The same as soon as its controller knows: a second or so before it is through with
            the Job's pods.
        reason: The reason of that condition.
        created: When it was made.
        resumed: When a queue last let it go; None where none held it.
        started: ``status.startTime``.
        finished: When it ended.
        memory_limit: The worker container's limit in bytes.
    """

    namespace: str
    name: str
    uid: str
    version: int
    session: str
    session_uid: str
    labels: Mapping[str, str]
    deleting: bool
    suspended: bool
    ended: str
    decided: str
    reason: str
    created: datetime | None
    resumed: datetime | None
    started: datetime | None
    finished: datetime | None
    memory_limit: int


@dataclass(frozen=True, slots=True)
class PodSummary:
    """What is kept of a pod.

    Attributes:
        namespace: Where it is.
        name: Its name.
        uid: Its uid.
        version: Its resource version.
        session_uid: The uid of the session it works for.
        job: Its Job's name.
        job_uid: Its Job's uid.
        created: When it was made.
        phase: ``status.phase``.
        started: When the worker started.
        finished: When the worker ended.
        exit_code: The worker's.
        reason: Why the worker ended.
        pod_reason: Why the pod did, e.g. ``Evicted``.
        message: The termination message as it stands.
        unschedulable: The scheduler's words where it finds no node.
        waiting_reason: Why a container waits.
        waiting_message: The kubelet's words about it.
        disrupted: Why the cluster took the pod away; empty where it did not.
    """

    namespace: str
    name: str
    uid: str
    version: int
    session_uid: str
    job: str
    job_uid: str
    created: datetime | None
    phase: str
    started: datetime | None
    finished: datetime | None
    exit_code: int | None
    reason: str
    pod_reason: str
    message: bytes
    unschedulable: str
    waiting_reason: str
    waiting_message: str
    disrupted: str

    @property
    def ended(self) -> bool:
        """Whether its worker has ended, or will never start."""
        return self.exit_code is not None or self.phase in ("Succeeded", "Failed")


def summarise_job(raw: Mapping[str, Any]) -> JobSummary | None:
    """Reads a Job; None where it is not a session's own, whatever its labels say."""
    metadata, spec, status = (mapping(raw.get(part)) for part in ("metadata", "spec", "status"))
    held = mapping(metadata.get("labels"))
    owner = _controller(metadata)
    if owner.get("kind") != names.KIND or owner.get("uid") != held.get(names.SESSION_UID):
        return None
    end, decided = _end(status), _decided(status)
    return JobSummary(
        namespace=intern(text(metadata.get("namespace"))),
        name=text(metadata.get("name")),
        uid=text(metadata.get("uid")),
        version=version_of(metadata),
        session=text(owner.get("name")),
        session_uid=intern(text(owner.get("uid"))),
        labels={label: intern(text(held[label])) for label in _LABELS if label in held},
        deleting="deletionTimestamp" in metadata,
        suspended=spec.get("suspend") is True,
        ended=intern(text(end.get("type"))),
        decided=intern(text(end.get("type"))) or decided[0],
        reason=intern(text((end or decided[1]).get("reason"), 128)),
        created=time_of(metadata.get("creationTimestamp")),
        resumed=time_of(_condition(status, "Suspended", "False").get("lastTransitionTime")),
        started=time_of(status.get("startTime")),
        finished=time_of(status.get("completionTime")) or time_of(end.get("lastTransitionTime")),
        memory_limit=_memory_limit(spec),
    )


def summarise_pod(raw: Mapping[str, Any]) -> PodSummary | None:
    """Reads a pod; None where it belongs to no Job."""
    metadata, status = mapping(raw.get("metadata")), mapping(raw.get("status"))
    owner = _controller(metadata)
    if owner.get("kind") != "Job":
        return None
    state = _worker_state(status)
    ended, running = mapping(state.get("terminated")), mapping(state.get("running"))
    waiting = _waiting(status)
    return PodSummary(
        namespace=intern(text(metadata.get("namespace"))),
        name=text(metadata.get("name")),
        uid=text(metadata.get("uid")),
        version=version_of(metadata),
        session_uid=intern(text(mapping(metadata.get("labels")).get(names.SESSION_UID))),
        job=text(owner.get("name")),
        job_uid=text(owner.get("uid")),
        created=time_of(metadata.get("creationTimestamp")),
        phase=intern(text(status.get("phase"))),
        started=time_of(running.get("startedAt")) or time_of(ended.get("startedAt")),
        finished=time_of(ended.get("finishedAt")),
        exit_code=number(ended.get("exitCode")),
        reason=intern(text(ended.get("reason"), 128)),
        pod_reason=intern(text(status.get("reason"), 128)),
        message=text(ended.get("message"), MAX_MESSAGE_BYTES + 1).encode("utf-8", "replace"),
        unschedulable=_unschedulable(status),
        waiting_reason=intern(text(waiting.get("reason"), 128)),
        waiting_message=text(waiting.get("message"), _WORDS),
        disrupted=_disrupted(status),
    )


def same_but_version(one: JobSummary | PodSummary, other: JobSummary | PodSummary) -> bool:
    """Whether nothing that a plan depends on differs between two readings of an object."""
    return replace(one, version=0) == replace(other, version=0)


def latest_pod(job: JobSummary, pods: Iterable[PodSummary]) -> PodSummary | None:
    """The Job's own pod that counts: the newest, since each replaces one that was evicted."""
    own = [pod for pod in pods if pod.job_uid == job.uid]
    return max(own, key=lambda pod: (str(pod.created or ""), pod.name), default=None)


def job_view(job: JobSummary, pod: PodSummary | None) -> JobView:
    """Shows a Job and its pod to the planner as one."""
    ended = _ended(job, pod)
    lost = pod.finished if pod is not None and pod.disrupted else None
    return JobView(
        name=job.name,
        labels=job.labels,
        state=_state(job, pod),
        started=(pod.started if pod is not None else None) or job.started,
        finished=((pod.finished if pod is not None else None) or job.finished) if ended else None,
        exit_code=pod.exit_code if pod is not None and ended else None,
        reason=_reason(job, pod) if ended else "",
        message=decode_message(pod.message) if ended and pod is not None and pod.ended else None,
        memory_limit=job.memory_limit,
        pending_since=_latest(job.created, job.resumed, lost),
    )


def pod_view(pod: PodSummary) -> PodView:
    """What the pod of a pending Job says of why it does not run."""
    return PodView(
        job=pod.job,
        unschedulable=pod.unschedulable,
        waiting_reason=pod.waiting_reason,
        waiting_message=pod.waiting_message,
        disrupted=pod.disrupted,
    )


def _ended(job: JobSummary, pod: PodSummary | None) -> str:
    """How the Job ended, or will have, once its pod has: its controller takes seconds to say so.

    A pod that succeeded is a Job's success. One that failed may have been evicted or suspended, so
    there the controller's decision counts.
    """
    if job.ended or pod is None or not pod.ended:
        return job.ended
    return "Complete" if pod.phase == "Succeeded" else job.decided


def _state(job: JobSummary, pod: PodSummary | None) -> JobState:
    if job.deleting:
        return JobState.DELETING
    if ended := _ended(job, pod):
        return JobState.SUCCEEDED if ended == "Complete" else JobState.FAILED
    if job.decided and pod is None:
        # Its pod is gone, or not heard of yet: a pod that waits it has not.
        return JobState.DELETING
    if job.suspended:
        return JobState.HELD
    # A failed pod of a Job that has not failed was evicted: another will take its place.
    if pod is None or pod.phase in ("Pending", "Failed"):
        return JobState.PENDING
    return JobState.RUNNING


def _reason(job: JobSummary, pod: PodSummary | None) -> str:
    """Why a Job ended; of a failed one in the order that ``JobView`` gives."""
    pods, container = (pod.pod_reason, pod.reason) if pod is not None else ("", "")
    if container == "OOMKilled" or (container and job.ended == "Complete"):
        return container
    own = job.reason if job.reason not in _POD_FAILED else ""
    return own or pods or container or job.reason


def _latest(*times: datetime | None) -> datetime | None:
    return max((time for time in times if time is not None), default=None)


def _controller(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    owners = objects(metadata.get("ownerReferences"))
    return next((owner for owner in owners if owner.get("controller") is True), {})


def _end(status: Mapping[str, Any]) -> Mapping[str, Any]:
    return _condition(status, "Complete", "True") or _condition(status, "Failed", "True")


def _decided(status: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """What the Job will have become, and the condition that says so (since Kubernetes 1.31)."""
    for early, end in (("SuccessCriteriaMet", "Complete"), ("FailureTarget", "Failed")):
        if found := _condition(status, early, "True"):
            return end, found
    return "", {}


def _condition(status: Mapping[str, Any], kind: str, holds: str) -> Mapping[str, Any]:
    conditions = objects(status.get("conditions"))
    found = (c for c in conditions if c.get("type") == kind and c.get("status") == holds)
    return next(found, {})


def _memory_limit(spec: Mapping[str, Any]) -> int:
    pod = mapping(mapping(spec.get("template")).get("spec"))
    for container in objects(pod.get("containers")):
        if container.get("name") == CONTAINER:
            limits = mapping(mapping(container.get("resources")).get("limits"))
            try:
                return parse_quantity(text(limits.get("memory"), 32))
            except ValueError:
                return 0
    return 0


def _worker_state(status: Mapping[str, Any]) -> Mapping[str, Any]:
    for container in objects(status.get("containerStatuses")):
        if container.get("name") == CONTAINER:
            return mapping(container.get("state"))
    return {}


def _waiting(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """Why the first container that waits does so, init containers first; they hold up the rest."""
    for part in ("initContainerStatuses", "containerStatuses"):
        for container in objects(status.get(part)):
            waiting = mapping(mapping(container.get("state")).get("waiting"))
            if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
                return waiting
    return {}


def _unschedulable(status: Mapping[str, Any]) -> str:
    return text(_condition(status, "PodScheduled", "False").get("message"), _WORDS)


def _disrupted(status: Mapping[str, Any]) -> str:
    found = _condition(status, "DisruptionTarget", "True")
    words = f"{text(found.get('reason'), 128)}: {text(found.get('message'), _WORDS)}"
    return words.strip(": ")
