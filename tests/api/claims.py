"""Claims with volumes made by hand: the scheduler binds them, and no node mounts them."""

from __future__ import annotations

from api.rest import Rest, wait_for

ARCHIVES = "cascade-archives"
"""The claim a session's archives go to where it names none."""


def create_claim(rest: Rest, namespace: str, name: str = ARCHIVES) -> None:
    """Creates a claim and a volume for it alone; waits until they are bound."""
    amount = {"storage": "1Gi"}
    volume = f"{namespace}-{name}"
    rest.create(
        "/api/v1/persistentvolumes",
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": {
                "capacity": amount,
                "accessModes": ["ReadWriteMany"],
                "hostPath": {"path": "/nowhere"},
                "claimRef": {"namespace": namespace, "name": name},
            },
        },
    )
    path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
    rest.create(
        path,
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "resources": {"requests": amount},
                # No class: not the cluster's default one either.
                "storageClassName": "",
                "volumeName": volume,
            },
        },
    )
    wait_for(
        f"claim {name} is bound", lambda: rest.get(f"{path}/{name}")["status"]["phase"] == "Bound"
    )
