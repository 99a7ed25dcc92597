"""Published ConfigMaps in a cluster (58)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cascade_operator.control.kube.api import KubeApi
from cascade_operator.control.kube.port import NotFoundError
from cascade_operator.control.kube.resources import CONFIG_MAPS


class ConfigMaps:
    """Implements the publisher's store over the API server."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api

    async def read(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """Reads one; None where there is none."""
        try:
            return await self._api.request("GET", CONFIG_MAPS.path(namespace, name))
        except NotFoundError:
            return None

    async def write(self, manifest: Mapping[str, Any], existing: Mapping[str, Any] | None) -> None:
        """Creates one, or replaces what was read: its version keeps us from undoing a change."""
        metadata = manifest["metadata"]
        if existing is None:
            path = CONFIG_MAPS.path(metadata["namespace"])
            await self._api.request("POST", path, body=manifest)
            return
        held = existing["metadata"]
        # Labels and annotations of others, a GitOps tool's for one, stay.
        merged = {**metadata, "resourceVersion": held["resourceVersion"]}
        for part in ("labels", "annotations"):
            merged[part] = {**(held.get(part) or {}), **metadata[part]}
        path = CONFIG_MAPS.path(metadata["namespace"], metadata["name"])
        await self._api.request("PUT", path, body={**manifest, "metadata": merged})
