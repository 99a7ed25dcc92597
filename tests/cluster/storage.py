"""A storage class whose volumes are folders of this machine."""

from __future__ import annotations

import shutil
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from api.rest import ApiError, Rest, wait_for

CLASS: Final = "folders"
_SECONDS: Final = 0.3


class FolderStorage:
    """Makes a folder and a volume for each claim that waits for one.

    A volume stays with its folder when its claim goes, so that tests see what is left, and goes
    with its namespace.
    """

    def __init__(self, rest: Rest, folder: Path) -> None:
        """Prepares it; :meth:`start` makes the class and looks for claims."""
        self._rest = rest
        self._folder = folder
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Makes the cluster's default class and begins."""
        self._rest.create(
            "/apis/storage.k8s.io/v1/storageclasses",
            {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {
                    "name": CLASS,
                    "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
                },
                "provisioner": "cascade-operator.dev/folders",
                "reclaimPolicy": "Retain",
            },
        )
        self._thread.start()

    def stop(self) -> None:
        """Ends it."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def path(self, namespace: str, claim: str) -> Path:
        """The folder of a claim's volume."""
        return self._folder / namespace / claim

    def lose(self, namespace: str, claim: str) -> None:
        """Takes away a claim that no pod uses, with its volume and its data: a disk is lost."""
        claims = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
        volume = self._rest.get(f"{claims}/{claim}")["spec"]["volumeName"]
        self._rest.delete(f"{claims}/{claim}")
        wait_for("the claim is gone", lambda: claim not in self._names(claims))
        self._rest.delete(f"/api/v1/persistentvolumes/{volume}")
        shutil.rmtree(self.path(namespace, claim))

    def clear(self, namespace: str) -> None:
        """Takes away the data of a namespace that is gone: one of its name begins with none."""
        shutil.rmtree(self._folder / namespace, ignore_errors=True)

    def _names(self, path: str) -> set[str]:
        return {item["metadata"]["name"] for item in self._rest.get(path)["items"]}

    def _run(self) -> None:
        while not self._ended.wait(_SECONDS):
            # The API server may be away for a test's sake: the next look finds the claim.
            with suppress(ApiError, OSError):
                for claim in self._rest.get("/api/v1/persistentvolumeclaims")["items"]:
                    if claim["status"].get("phase") == "Pending":
                        self._provide(claim)

    def _provide(self, claim: dict[str, Any]) -> None:
        spec, metadata = claim["spec"], claim["metadata"]
        if spec.get("storageClassName") != CLASS or spec.get("volumeName"):
            return
        folder = self.path(metadata["namespace"], metadata["name"])
        folder.mkdir(parents=True, exist_ok=True)
        # A pod's fsGroup does not change a folder's owner.
        folder.chmod(0o777)
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"folder-{metadata['uid']}"},
            "spec": {
                "capacity": spec["resources"]["requests"],
                "accessModes": spec["accessModes"],
                "storageClassName": CLASS,
                "persistentVolumeReclaimPolicy": "Retain",
                "hostPath": {"path": str(folder)},
                "claimRef": {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "namespace": metadata["namespace"],
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                },
            },
        }
        with suppress(ApiError):
            self._rest.create("/api/v1/persistentvolumes", volume)
