"""Jobs, pods and sessions as an API server gives them."""

from __future__ import annotations

import copy
import itertools
from typing import Any

from cascade_operator.control.manifests import labels

UID = "5f0c1a52-0000-4000-8000-000000000001"
NAMESPACE = "team"
SESSION = "triage"

_uids = itertools.count(1)


def _metadata(name: str, kind: str, version: int, uid: str | None) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": NAMESPACE,
        "uid": uid or f"{kind}-{next(_uids)}",
        "resourceVersion": str(version),
        "creationTimestamp": "2026-03-01T12:00:00Z",
        "managedFields": [{"manager": "kube-controller-manager"}],
    }


def raw_session(
    version: int = 1, *, name: str = SESSION, uid: str = UID, **parts: Any
) -> dict[str, Any]:
    """A session with the default agents; ``spec``, ``status`` and ``metadata`` may be given."""
    metadata = {**_metadata(name, "session", version, uid), "generation": 1}
    return {
        "apiVersion": labels.API_VERSION,
        "kind": labels.KIND,
        "metadata": {**metadata, **parts.get("metadata", {})},
        "spec": parts.get("spec", {"traces": {"import": "bfcl"}}),
        "status": parts.get("status", {"observedGeneration": -1, "phase": "Pending"}),
    }


def raw_job(
    name: str = "triage-r1-00",
    version: int = 1,
    *,
    uid: str | None = None,
    session_uid: str = UID,
    **parts: Any,
) -> dict[str, Any]:
    """A Job of a session; ``spec``, ``status`` and ``metadata`` may be given."""
    held = {
        labels.SESSION_UID: session_uid,
        labels.RUN: "1",
        labels.STAGE: "group",
        labels.GROUP: "00",
        labels.ATTEMPT: "1",
        "team.example/colour": "blue",
    }
    owner = labels.Owner(SESSION, NAMESPACE, session_uid).reference()
    metadata = {**_metadata(name, "job", version, uid), "labels": held, "ownerReferences": [owner]}
    worker = {"name": "worker", "resources": {"limits": {"memory": "1Gi"}}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {**metadata, **parts.get("metadata", {})},
        "spec": {"template": {"spec": {"containers": [worker]}}, **parts.get("spec", {})},
        "status": parts.get("status", {}),
    }


def raw_pod(
    job: dict[str, Any], version: int = 1, *, uid: str | None = None, **status: Any
) -> dict[str, Any]:
    """A pod of a Job with a status."""
    job = copy.deepcopy(job)
    owner = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": job["metadata"]["name"],
        "uid": job["metadata"]["uid"],
        "controller": True,
    }
    metadata = _metadata(f"{job['metadata']['name']}-x1", "pod", version, uid)
    metadata |= {"labels": job["metadata"]["labels"], "ownerReferences": [owner]}
    created = status.pop("created", None)
    if created:
        metadata["creationTimestamp"] = created
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status}


def condition(kind: str, holds: str = "True", **more: str) -> dict[str, str]:
    """A condition of a Job or a pod."""
    return {
        "type": kind,
        "status": holds,
        "lastTransitionTime": "2026-03-01T12:05:00Z",
        **more,
    }


def worker_ended(code: int, reason: str = "Error", message: str = "") -> list[dict[str, Any]]:
    """Container statuses of a worker that has ended, beside a sidecar that has not."""
    ended = {
        "exitCode": code,
        "reason": reason,
        "message": message,
        "startedAt": "2026-03-01T12:01:00Z",
        "finishedAt": "2026-03-01T12:04:00Z",
    }
    sidecar = {"name": "proxy", "state": {"running": {"startedAt": "2026-03-01T12:00:30Z"}}}
    return [sidecar, {"name": "worker", "state": {"terminated": ended}}]
