"""The Job of one attempt (82).

Our pod, the user's overrides merged in, then what may not differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cascade_operator.api.quantity import format_quantity
from cascade_operator.api.resources_spec import StageResources
from cascade_operator.api.session import TrainingSessionSpec
from cascade_operator.control.manifests.env import TERMINATION_LOG, worker_environment
from cascade_operator.control.manifests.labels import (
    ARCHIVE_KIND,
    ATTEMPT,
    GROUP,
    QUEUE,
    STAGE,
    Owner,
    run_labels,
)
from cascade_operator.control.manifests.naming import config_map_name
from cascade_operator.control.manifests.strategic_merge import strategic_merge
from cascade_operator.control.manifests.volumes import pod_volumes

CONTAINER: Final = "worker"

_TERMINATION_GRACE_SECONDS: Final = 60

# An evicted pod is replaced and resumes from its checkpoint. There is no rule for exit code 143:
# a rule that fails the Job would fail it for good when it is suspended.
_POD_FAILURE_POLICY: Final[Mapping[str, Any]] = {
    "rules": [
        {
            "action": "Ignore",
            "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
        }
    ]
}


@dataclass(frozen=True, slots=True)
class JobRequest:
    """One attempt of a stage or a group.

    Attributes:
        owner: The session.
        run: The run's number.
        name: The Job's name.
        stage: ``prepare``, ``group`` or ``archive``.
        attempt: From 1.
        arguments: Of ``cascade worker <stage>``.
        memory_limit: In bytes.
        active_deadline_seconds: The backstop behind the worker's own end.
        group: A group's key, for the label; else empty.
        archive_kind: ``progressive`` or ``final`` for an archive; else empty.
    """

    owner: Owner
    run: int
    name: str
    stage: str
    attempt: int
    arguments: tuple[str, ...]
    memory_limit: int
    active_deadline_seconds: int
    group: str = ""
    archive_kind: str = ""

    def labels(self) -> dict[str, str]:
        """The labels of the Job and of its pod."""
        labels = {
            **run_labels(self.owner, self.run),
            STAGE: self.stage,
            ATTEMPT: str(self.attempt),
        }
        if self.group:
            labels[GROUP] = self.group
        if self.archive_kind:
            labels[ARCHIVE_KIND] = self.archive_kind
        return labels


def build_job(request: JobRequest, spec: TrainingSessionSpec) -> dict[str, Any]:
    """Builds a Job's manifest.

    ``jobTemplate`` may change anything about the pod but what the planner relies on: command,
    configuration, memory limit, restart and failure policy, labels, owner, and that the pod gets
    no token of the cluster.

    Args:
        request: The attempt.
        spec: The resolved spec.
    """
    template = spec.job_template
    pod = strategic_merge(_pod(request, spec), template.spec)
    labels = {**template.metadata.labels, **request.labels()}
    annotations = dict(template.metadata.annotations)
    pod_metadata: dict[str, Any] = {"labels": labels}
    metadata: dict[str, Any] = {
        "name": request.name,
        "namespace": request.owner.namespace,
        "labels": {**labels, QUEUE: spec.queue_name} if spec.queue_name else labels,
        "ownerReferences": [request.owner.reference()],
    }
    if annotations:
        metadata["annotations"] = annotations
        pod_metadata["annotations"] = annotations
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "parallelism": 1,
            "completions": 1,
            "backoffLimit": 0,
            "activeDeadlineSeconds": request.active_deadline_seconds,
            "podFailurePolicy": dict(_POD_FAILURE_POLICY),
            # Two pods of one attempt would write one checkpoint and take twice the memory.
            "podReplacementPolicy": "Failed",
            "template": {"metadata": pod_metadata, "spec": _enforced(pod, request, spec)},
        },
    }


def _pod(request: JobRequest, spec: TrainingSessionSpec) -> dict[str, Any]:
    """The pod before the user's overrides."""
    volumes = pod_volumes(spec, request.stage, config_map_name(request.owner.name, request.run))
    return {
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": _TERMINATION_GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "fsGroup": 10001,
            # A claim with many archives would be walked file by file at each start.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": CONTAINER,
                "image": spec.image,
                "resources": _resources(_stage_resources(spec, request.stage)),
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [volume.mount() for volume in volumes],
            }
        ],
        "volumes": [volume.volume() for volume in volumes],
    }


def _enforced(
    pod: Mapping[str, Any], request: JobRequest, spec: TrainingSessionSpec
) -> dict[str, Any]:
    """The pod with what the planner relies on set again after the overrides."""
    ours = _pod(request, spec)["containers"]
    theirs = pod.get("containers")
    # An override that removes our container, or all of them, leaves the pod with ours.
    containers = strategic_merge({"containers": ours}, {"containers": theirs or []})["containers"]
    return {
        **pod,
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "containers": [
            _enforced_worker(entry, request, spec) if entry.get("name") == CONTAINER else entry
            for entry in containers
        ],
    }


def _enforced_worker(
    container: Mapping[str, Any], request: JobRequest, spec: TrainingSessionSpec
) -> dict[str, Any]:
    resources = container.get("resources") or {}
    limits = {**(resources.get("limits") or {}), "memory": format_quantity(request.memory_limit)}
    ours = {"env": worker_environment(spec, request.memory_limit)}
    return {
        **strategic_merge({"env": [], **container}, ours),
        "command": ["cascade", "worker", request.stage],
        "args": list(request.arguments),
        "resources": {**resources, "limits": limits},
        "terminationMessagePath": TERMINATION_LOG,
        "terminationMessagePolicy": "File",
    }


def _stage_resources(spec: TrainingSessionSpec, stage: str) -> StageResources:
    stages = {
        "prepare": spec.resources.prepare,
        "group": spec.resources.group,
        "archive": spec.resources.archive,
    }
    return stages[stage]


def _resources(stage: StageResources) -> dict[str, Any]:
    dumped: dict[str, Any] = stage.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {kind: amounts for kind, amounts in dumped.items() if amounts}
