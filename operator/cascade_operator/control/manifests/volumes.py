"""A pod's volumes: configuration, scratch, Secrets as files, and the claims a stage needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from cascade_operator.api.models_spec import SecretKeyRef
from cascade_operator.api.session import TrainingSessionSpec
from cascade_operator.control.manifests.env import (
    ARCHIVES_FOLDER,
    CONFIG_FILE,
    CONFIG_FOLDER,
    SCRATCH_FOLDER,
    SECRETS_FOLDER,
    TRACES_FOLDER,
)
from cascade_operator.control.manifests.labels import STAGE_ARCHIVE, STAGE_PREPARE

_DEFAULT_REDIS_SECRET: Final = "cascade-redis"  # noqa: S105 - a Secret's name
_SECRET_MODE: Final = 0o440


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume and where the worker sees it.

    Attributes:
        name: Its name in the pod.
        source: The volume's source, e.g. ``{"emptyDir": {}}``.
        path: Where it is mounted.
        read_only: Whether the worker may only read it.
        sub_path: Folder of the volume to mount; empty for its root.
    """

    name: str
    source: dict[str, Any]
    path: str
    read_only: bool = False
    sub_path: str = ""

    def volume(self) -> dict[str, Any]:
        """The entry of ``volumes``."""
        return {"name": self.name, **self.source}

    def mount(self) -> dict[str, Any]:
        """The entry of ``volumeMounts``."""
        mount: dict[str, Any] = {"name": self.name, "mountPath": self.path}
        if self.read_only:
            mount["readOnly"] = True
        if self.sub_path:
            mount["subPath"] = self.sub_path
        return mount


def pod_volumes(spec: TrainingSessionSpec, stage: str, config_map: str) -> tuple[Volume, ...]:
    """Lists the volumes of a stage's pod.

    Only prepare reads traces; prepare and archive share the archives (prepare restores from them
    and keeps its embeddings beside them). A group works on Redis alone, so that its pod can be
    placed wherever there is room, not where a claim is attached.

    Args:
        spec: The resolved spec.
        stage: ``prepare``, ``group`` or ``archive``.
        config_map: Name of the run's ConfigMap.
    """
    volumes = [
        Volume(
            "config",
            {
                "configMap": {
                    "name": config_map,
                    "items": [{"key": CONFIG_FILE, "path": CONFIG_FILE}],
                }
            },
            CONFIG_FOLDER,
            read_only=True,
        ),
        Volume("scratch", {"emptyDir": {}}, SCRATCH_FOLDER),
        *_secrets(spec),
    ]
    traces = spec.traces.persistent_volume_claim
    if stage == STAGE_PREPARE and traces is not None:
        source = {"persistentVolumeClaim": {"claimName": traces.claim_name}}
        volumes.append(Volume("traces", source, TRACES_FOLDER, read_only=True))
    if stage in (STAGE_PREPARE, STAGE_ARCHIVE):
        claim = spec.archive.persistent_volume_claim
        source = {"persistentVolumeClaim": {"claimName": claim.claim_name}}
        volumes.append(Volume("archives", source, ARCHIVES_FOLDER, sub_path=claim.sub_path))
    return tuple(volumes)


def _secrets(spec: TrainingSessionSpec) -> Iterator[Volume]:
    names = dict.fromkeys(ref.name for ref in _secret_refs(spec))
    for number, name in enumerate(names):
        secret: dict[str, Any] = {"secretName": name, "defaultMode": _SECRET_MODE}
        if name == _DEFAULT_REDIS_SECRET:
            # A Redis without a password is fine, and then nobody makes the default Secret.
            secret["optional"] = True
        path = f"{SECRETS_FOLDER}/{name}"
        yield Volume(f"secret-{number}", {"secret": secret}, path, read_only=True)


def _secret_refs(spec: TrainingSessionSpec) -> Iterator[SecretKeyRef]:
    yield spec.redis.password_secret_ref
    nodes = () if spec.cascade is None else spec.cascade.nodes
    models = (
        spec.models.task,
        spec.models.prompt,
        spec.models.embedding,
        *(node.model for node in nodes),
    )
    for model in models:
        if model is not None and model.api_key_secret_ref is not None:
            yield model.api_key_secret_ref
