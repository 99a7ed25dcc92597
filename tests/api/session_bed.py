"""Sessions under one operator of the whole cluster: many namespaces at once, each its own case."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from api.claims import create_claim
from api.control_plane import ControlPlane
from api.custom_resource import GROUP_VERSION, ROOT, sessions_path
from api.operator_process import OperatorProcess
from api.recorder import JOBS, PODS, Change, Recorder, recording
from api.rest import PATIENCE_SECONDS, ApiError, Rest, wait_for, wait_state
from api.scenarios import scenario
from cascade_operator.api.manifest import read_manifest
from cascade_operator.control.manifests.labels import GROUP, SESSION_UID

NO_REDIS: Final = "--redis-url=redis://127.0.0.1:1"
"""Nothing answers there at once, where a missing name may take seconds to be missed."""

TWO_NODES: Final = {
    "tiers": [
        {
            "name": "first",
            "code": 0,
            "nodes": [{"name": "draft", "signature": "request -> notes"}],
        },
        {
            "name": "last",
            "code": 10,
            "nodes": [{"name": "answer", "signature": "request, notes -> reply"}],
        },
    ]
}
"""A cascade of three groups: ``00``, ``01``, ``00_01``."""


@dataclass(frozen=True)
class Session:
    """A session on the server.

    Attributes:
        rest: Requests as the administrator.
        namespace: Where it is.
        name: Its name.
        uid: Its uid.
        recorder: What the watches have shown of it.
    """

    rest: Rest
    namespace: str
    name: str
    uid: str
    recorder: Recorder

    def raw(self) -> dict[str, Any]:
        """The session as it stands."""
        return self.rest.get(sessions_path(self.namespace, self.name))

    def status(self) -> dict[str, Any]:
        """Its status."""
        found: dict[str, Any] = self.raw().get("status") or {}
        return found

    def conditions(self) -> dict[str, dict[str, Any]]:
        """Its conditions by type."""
        return {one["type"]: one for one in self.status().get("conditions", [])}

    def true(self) -> dict[str, str]:
        """The reasons of the conditions that hold, by type."""
        found = self.conditions().values()
        return {one["type"]: one["reason"] for one in found if one["status"] == "True"}

    def ready(self) -> dict[str, Any]:
        """Its ``Ready`` condition; empty before the first."""
        return self.conditions().get("Ready", {})

    def patch(self, **spec: Any) -> dict[str, Any]:
        """Merges into its spec."""
        return self.rest.merge(sessions_path(self.namespace, self.name), {"spec": spec})

    def annotate(self, **annotations: str | None) -> None:
        """Sets annotations of ours; their names without the prefix."""
        named = {f"cascade-operator.dev/{key}": value for key, value in annotations.items()}
        path = sessions_path(self.namespace, self.name)
        self.rest.merge(path, {"metadata": {"annotations": named}})

    def wait(
        self,
        what: str,
        holds: Callable[[dict[str, Any]], object],
        *,
        seconds: float = PATIENCE_SECONDS,
    ) -> dict[str, Any]:
        """Waits until its status is as told; returns it."""
        return wait_state(f"{self.name}: {what}", self.status, holds, show=brief, seconds=seconds)

    def wait_phase(
        self, phase: str, *, run: int = 1, seconds: float = PATIENCE_SECONDS
    ) -> dict[str, Any]:
        """Waits for a phase of a run."""
        return self.wait(
            f"{phase} in run {run}",
            lambda s: s.get("phase") == phase and s.get("run", {}).get("number") == run,
            seconds=seconds,
        )

    def wait_reason(self, reason: str, *, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """Waits for the reason of ``Ready``; returns that condition."""

        def probe(status: dict[str, Any]) -> bool:
            found = status.get("conditions", [])
            return any(c["type"] == "Ready" and c["reason"] == reason for c in found)

        self.wait(f"Ready says {reason}", probe, seconds=seconds)
        return self.ready()

    def jobs(self) -> dict[str, dict[str, Any]]:
        """Its Jobs by name."""
        return self._owned("/apis/batch/v1", "jobs")

    def pods(self) -> dict[str, dict[str, Any]]:
        """The pods of its Jobs by name."""
        return self._owned("/api/v1", "pods")

    def group_jobs(self) -> dict[str, dict[str, Any]]:
        """The Jobs of its groups by name."""
        found = self.jobs().items()
        stage = "cascade-operator.dev/stage"
        return {name: job for name, job in found if job["metadata"]["labels"][stage] == "group"}

    def running(self, group: str) -> list[dict[str, Any]]:
        """The pods of a group that run and were not told to leave."""
        return [
            pod
            for pod in self.pods().values()
            if pod["metadata"]["labels"].get(GROUP) == group
            and pod["status"].get("phase") == "Running"
            and "deletionTimestamp" not in pod["metadata"]
        ]

    def events(self) -> list[dict[str, Any]]:
        """Its events in the order in which they were written."""
        path = f"/api/v1/namespaces/{self.namespace}/events"
        found = self.rest.get(path, fieldSelector=f"involvedObject.uid={self.uid}")["items"]
        return sorted(found, key=lambda event: int(event["metadata"]["resourceVersion"]))

    def reasons(self) -> list[str]:
        """The reasons of its events, in order."""
        return [event["reason"] for event in self.events()]

    def versions(self) -> list[dict[str, Any]]:
        """Every version of it that a watch has shown."""
        return self.recorder.versions(self.uid)

    def life(self) -> list[Change]:
        """What happened to it, its Jobs and its pods, in order."""
        return self.recorder.of_session(self.uid)

    def phases(self) -> list[str]:
        """The phases it went through."""
        seen: list[str] = []
        for raw in self.versions():
            phase = raw.get("status", {}).get("phase", "")
            if not seen or seen[-1] != phase:
                seen.append(phase)
        return seen

    def play(self, pod: Mapping[str, Any], **settings: str) -> None:
        """Changes what a pod's worker does."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}"
        self.rest.merge(path, {"metadata": {"annotations": scenario(**settings)}})

    def _owned(self, base: str, plural: str) -> dict[str, dict[str, Any]]:
        path = f"{base}/namespaces/{self.namespace}/{plural}"
        found = self.rest.get(path, labelSelector=f"{SESSION_UID}={self.uid}")["items"]
        return {item["metadata"]["name"]: item for item in found}


@dataclass
class SessionBed:
    """A control plane with one operator, on which tests make sessions.

    Attributes:
        rest: Requests as the administrator.
        operator: Serves all namespaces.
        recorder: What watches of sessions, Jobs and pods have shown.
    """

    rest: Rest
    operator: OperatorProcess
    recorder: Recorder
    made: list[str] = field(default_factory=list)

    def namespace(self, *, labels: Mapping[str, str] | None = None, claim: bool = True) -> str:
        """Makes a namespace in which pods may be created, by default with the archives' claim."""
        name = f"team-{uuid.uuid4().hex[:8]}"
        metadata = {"name": name, "labels": dict(labels or {})}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        self.rest.create("/api/v1/namespaces", body)
        self.made.append(name)
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        wait_for("the default account", lambda: self.rest.get(account))
        if claim:
            create_claim(self.rest, name)
        return name

    def session(
        self,
        namespace: str = "",
        *,
        name: str = "small",
        play: Mapping[str, str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        **spec: Any,
    ) -> Session:
        """Applies a session of three groups whose workers take a fifth of a second.

        Args:
            namespace: Where; by default in one of its own.
            name: Its name.
            play: Settings of the scenario.
            metadata: More of its metadata.
            spec: More of its spec; ``jobTemplate`` is merged with the scenario.
        """
        settings = {"run-seconds": "0.2", **(play or {})}
        template = copy.deepcopy(dict(spec.pop("jobTemplate", {})))
        about = template.setdefault("metadata", {})
        about["annotations"] = {**about.get("annotations", {}), **scenario(**settings)}
        body = {
            "apiVersion": GROUP_VERSION,
            "kind": "TrainingSession",
            "metadata": {"name": name, **(metadata or {})},
            "spec": {
                "cascade": TWO_NODES,
                "traces": {"import": "bfcl", "maxRecords": 10},
                "jobTemplate": template,
                **spec,
            },
        }
        return self.create(namespace or self.namespace(), body)

    def quickstart(self, namespace: str, **settings: str) -> dict[str, Any]:
        """The quickstart's manifest with a scenario merged in."""
        manifest = read_manifest((ROOT / "examples" / "quickstart.yaml").read_bytes())
        manifest["metadata"]["namespace"] = namespace
        annotations = scenario(**{"run-seconds": "0.2", **settings})
        manifest["spec"]["jobTemplate"] = {"metadata": {"annotations": annotations}}
        return manifest

    def create(self, namespace: str, body: dict[str, Any]) -> Session:
        """Creates a session."""
        created = self.rest.create(sessions_path(namespace), body)
        return self.named(namespace, created["metadata"]["name"])

    def named(self, namespace: str, name: str) -> Session:
        """The session that is there."""
        raw = self.rest.get(sessions_path(namespace, name))
        return Session(self.rest, namespace, name, raw["metadata"]["uid"], self.recorder)

    def clean(self) -> None:
        """Deletes the namespaces."""
        for name in self.made:
            try:
                self.rest.delete(f"/api/v1/namespaces/{name}")
            except ApiError as error:
                if error.status != 404:
                    raise


@contextmanager
def serving(
    plane: ControlPlane,
    folder: Path,
    *flags: str,
    port: int = 0,
) -> Iterator[SessionBed]:
    """Starts an operator of the whole cluster, and watches; it must end well when the block does.

    Args:
        plane: The control plane.
        folder: Receives its kubeconfig and its log.
        flags: Of ``cascade operator``.
        port: Where on 127.0.0.1 the operator finds the API server; by default where it is.
    """
    user = plane.write_admin_kubeconfig(folder / "operator.kubeconfig", "default", port=port)
    operator = OperatorProcess(user, folder / "operator.log", *flags)
    operator.start()
    starts = plane.apiserver.starts
    with recording(plane.rest) as recorder:
        bed = SessionBed(plane.rest, operator, recorder)
        yield bed
    # An API server that has just started knows no version but the present one, nor does one that
    # serves a CRD again; any other gap would hide what tests look for.
    missed = {JOBS, PODS} & set(recorder.gaps)
    assert not missed or plane.apiserver.starts > starts, f"the recorder missed {missed}"
    code, tail = operator.stop(), operator.log_tail()
    bed.clean()
    assert code == 0, f"the operator ended with {code} when told to:\n{tail}"
    assert "Traceback" not in operator.logged(), operator.log_tail(60)


def brief(status: Mapping[str, Any]) -> str:
    """What matters of a status, for a failed wait."""
    ready = [c for c in status.get("conditions", []) if c["type"] == "Ready"]
    said = [(c["status"], c["reason"], c["message"]) for c in ready]
    groups = [
        (g["name"], g.get("phase"), g.get("attempt"), g.get("reason", ""), g.get("message", ""))
        for g in status.get("groups", [])
    ]
    run = status.get("run", {})
    parts = {part: run.get(part) for part in ("number", "prepare", "archive", "completionTime")}
    return f"phase {status.get('phase')}, ready {said}, run {parts}, groups {groups}"
