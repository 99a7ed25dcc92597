"""The operator and its Redis on the cluster: the chart, with hardly a value of our own."""

from __future__ import annotations

from typing import Any, Final

from cluster.bed import ClusterBed
from cluster.images import OPERATOR, REDIS, WORKER
from cluster.release import Release

NAMESPACE: Final = "cascade-system"
RELEASE: Final = "cascade-operator"
PASSWORD_SECRET: Final = "cascade-redis"
PASSWORD: Final = "not-a-secret"

RESTRICTED_POD: Final = {
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "runAsGroup": 10001,
    "fsGroup": 10001,
    "seccompProfile": {"type": "RuntimeDefault"},
}
RESTRICTED_CONTAINER: Final = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def deploy(bed: ClusterBed, *, models: str) -> Release:
    """Installs the chart for the whole cluster in a restricted namespace; ready when it returns.

    Args:
        bed: The cluster.
        models: The address of an Ollama with a chat and an embedding model.
    """
    bed.namespace(NAMESPACE, lasting=True)
    release = Release(bed, RELEASE, NAMESPACE, chart_values(models=models))
    release.install()
    return release


def chart_values(*, models: str) -> dict[str, Any]:
    """What the cluster cannot have as the chart has it: images of a registry, and an Ollama."""
    return {
        **_image("image", OPERATOR),
        **_image("workerImage", WORKER),
        **_image("redis.image", REDIS),
        "ollama.enabled": False,
        "ollama.url": models,
    }


def password_secret(namespace: str) -> dict[str, Any]:
    """The Secret that workers read Redis's password from, where it asks for one."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": PASSWORD_SECRET, "namespace": namespace},
        "stringData": {"password": PASSWORD},
    }


def _image(key: str, name: str) -> dict[str, str]:
    repository, _, tag = name.rpartition(":")
    return {f"{key}.repository": repository, f"{key}.tag": tag}
