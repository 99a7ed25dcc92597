"""The whole: a control plane, a node, storage; namespaces, pods and what tests ask of them."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from api.custom_resource import sessions_path
from api.rest import PATIENCE_SECONDS, ApiError, Rest, wait_for, wait_state
from cluster.node import Node
from cluster.plane import NodeControlPlane
from cluster.runs import Run
from cluster.setup import Parts
from cluster.storage import FolderStorage

RESTRICTED = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "latest",
}
"""Labels of a namespace that takes only pods without any privilege."""
_OWNERS = (("apps/v1", "deployments"), ("apps/v1", "statefulsets"), ("batch/v1", "jobs"))


@dataclass
class ClusterBed:
    """A cluster of one real node.

    Attributes:
        run: Its folder, and its hold on this machine's node.
        parts: Programs and images.
        plane: The control plane.
        node: The node.
        storage: Makes volumes for claims.
    """

    run: Run
    parts: Parts
    plane: NodeControlPlane
    node: Node
    storage: FolderStorage
    namespaces: list[str] = field(default_factory=list)

    @classmethod
    def create(cls, parts: Parts) -> ClusterBed:
        """Starts everything; :meth:`stop` leaves nothing behind, nor does a killed run for long.

        Raises:
            TestBedError: Another run has this machine's node, or a part does not start.
        """
        run = Run()
        plane = NodeControlPlane(parts.programs, run.folder, nodes=0)
        storage = FolderStorage(plane.rest, run.folder / "volumes")
        bed = cls(run, parts, plane, Node(parts.programs, plane), storage)
        try:
            # Its address is the bridge's.
            bed.node.join_network()
            plane.start()
            bed.node.start(parts.archives)
            storage.start()
        except BaseException:
            bed.stop(keep_logs=True)
            raise
        return bed

    @property
    def rest(self) -> Rest:
        """Requests as the administrator."""
        return self.plane.rest

    def stop(self, *, keep_logs: bool = False) -> None:
        """Ends every process and removes every mount, interface and file."""
        self.storage.stop()
        self.node.stop()
        self.plane.stop(keep_logs=True)
        if keep_logs:
            shutil.rmtree(self.node.folder / "containerd", ignore_errors=True)
        else:
            shutil.rmtree(self.plane.folder, ignore_errors=True)
        self.run.end()

    def check(self) -> None:
        """Raises ``TestBedError`` where a process has ended by itself."""
        self.plane.check()
        self.node.check()

    def namespace(
        self, name: str = "", labels: Mapping[str, str] | None = None, *, lasting: bool = False
    ) -> str:
        """Makes a namespace, restricted by default, in which pods may be created.

        It goes with :meth:`delete_namespaces`, unless it lasts as long as the cluster.
        """
        name = name or f"team-{uuid.uuid4().hex[:8]}"
        metadata = {"name": name, "labels": dict(RESTRICTED if labels is None else labels)}
        self.rest.create(
            "/api/v1/namespaces",
            {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata},
        )
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        wait_for("the default account", lambda: self.rest.get(account))
        if not lasting:
            self.namespaces.append(name)
        return name

    def delete_namespaces(self) -> None:
        """Deletes what was made, and waits until their pods have ended."""
        gone = set(self.namespaces)
        self.namespaces.clear()
        for name in gone:
            self._end_pods(name)
            self._delete(f"/api/v1/namespaces/{name}")
        wait_for("namespaces are gone", lambda: not gone & self._namespaces())
        for name in gone:
            self.storage.clear(name)

    def _end_pods(self, namespace: str) -> None:
        """Ends them first: a namespace that has pods is looked at again only after ten seconds."""
        self._delete(sessions_path(namespace))
        for group, plural in _OWNERS:
            self._delete(f"/apis/{group}/namespaces/{namespace}/{plural}")
        self._delete(f"/api/v1/namespaces/{namespace}/pods")
        wait_for("pods have ended", lambda: not self.pods(namespace))

    def _delete(self, path: str) -> None:
        try:
            self.rest.delete(path, propagationPolicy="Background")
        except ApiError as error:
            if error.status != 404:
                raise

    def _namespaces(self) -> set[str]:
        return {item["metadata"]["name"] for item in self.rest.get("/api/v1/namespaces")["items"]}

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Creates objects, or replaces what they say, as ``kubectl apply`` does."""
        for one in objects:
            path = self._path(one)
            self.rest.request(
                "PATCH",
                f"{path}/{one['metadata']['name']}",
                dict(one),
                content_type="application/apply-patch+yaml",
                fieldManager="tests",
                force="true",
            )

    def claim(self, namespace: str, name: str, mode: str = "ReadWriteMany") -> None:
        """Makes a claim of the default class."""
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"accessModes": [mode], "resources": {"requests": {"storage": "1Gi"}}},
            }
        )

    def pods(self, namespace: str, selector: str = "") -> list[dict[str, Any]]:
        """A namespace's pods."""
        query = {"labelSelector": selector} if selector else {}
        found: list[dict[str, Any]] = self.rest.get(
            f"/api/v1/namespaces/{namespace}/pods", **query
        )["items"]
        return found

    def wait_pod(
        self, namespace: str, name: str, phases: Iterable[str], *, seconds: float = PATIENCE_SECONDS
    ) -> dict[str, Any]:
        """Waits until a pod is in one of some phases; returns it."""
        wanted = set(phases)
        return wait_state(
            f"pod {name} is {wanted}",
            lambda: self.rest.get(f"/api/v1/namespaces/{namespace}/pods/{name}"),
            lambda pod: pod["status"].get("phase") in wanted,
            show=lambda pod: pod["status"],
            seconds=seconds,
        )

    def log(self, namespace: str, pod: str) -> str:
        """What a pod has written."""
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        return str(self.rest.request("GET", path).get("text", ""))

    def _path(self, one: Mapping[str, Any]) -> str:
        version = one["apiVersion"]
        base = "/api/v1" if version == "v1" else f"/apis/{version}"
        plural = one["kind"].lower() + ("es" if one["kind"].endswith("Class") else "s")
        namespace = one["metadata"].get("namespace")
        return f"{base}/namespaces/{namespace}/{plural}" if namespace else f"{base}/{plural}"
