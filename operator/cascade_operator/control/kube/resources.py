"""The four kinds that are read, where they are served, and which of their objects concern us."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from cascade_operator.api.base import API_VERSION
from cascade_operator.control.manifests.labels import RUN, SESSION_UID

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
METADATA: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind as the API server serves it.

    Attributes:
        plural: As in a path.
        root: The path of its group and version.
        selector: A label that objects of ours bear; empty where all concern us.
    """

    plural: str
    root: str
    selector: str = ""

    def path(self, namespace: str | None, name: str = "", subresource: str = "") -> str:
        """The path of a list, of an object, or of a part of it; of all namespaces for None."""
        where = "" if namespace is None else f"/namespaces/{quote(namespace, safe='')}"
        path = f"{self.root}{where}/{self.plural}"
        for part in (name, subresource):
            path += f"/{quote(part, safe='')}" if part else ""
        return path


SESSIONS: Final = Resource("trainingsessions", f"/apis/{API_VERSION}")
JOBS: Final = Resource("jobs", "/apis/batch/v1", SESSION_UID)
PODS: Final = Resource("pods", "/api/v1", SESSION_UID)
# A published one bears the session's label too, and no run's: it is no child.
CONFIG_MAPS: Final = Resource("configmaps", "/api/v1", f"{SESSION_UID},{RUN}")
EVENTS: Final = Resource("events", "/api/v1")
