"""The Lease that replicas share: its form, and how it is read and written (87)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from cascade_operator.control.kube.api import KubeApi
from cascade_operator.control.kube.port import ConflictError, NotFoundError

_API_VERSION: Final = "coordination.k8s.io/v1"
_MICRO_TIME: Final = "%Y-%m-%dT%H:%M:%S.%fZ"
_REQUEST_SECONDS: Final = 5.0
_MOST_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class Lease:
    """A Lease as the election sees it.

    The two times are for readers: nobody's clock but the own one is trusted, so they are compared
    for a change at most.

    Attributes:
        holder: Who has it; empty where nobody has.
        duration_seconds: How long others wait after a renewal they saw.
        transitions: How often it changed hands.
        acquired: When it did last, as it is written.
        renewed: When it was renewed last, as it is written.
        version: The object's ``resourceVersion``; empty where it has not been written.
    """

    holder: str
    duration_seconds: int
    transitions: int = 0
    acquired: str = ""
    renewed: str = ""
    version: str = ""


class LeaseStore(Protocol):
    """Where the Lease is kept; every method may raise ``ClusterError``."""

    async def read(self) -> Lease | None:
        """Returns the Lease; None where there is none."""
        ...

    async def write(self, lease: Lease) -> Lease:
        """Writes the Lease and returns it with its new version.

        Raises:
            ConflictError: It is no longer at ``lease.version``, or was made or removed meanwhile.
        """
        ...


class KubeLeases:
    """A Lease of an API server."""

    def __init__(self, api: KubeApi, namespace: str, name: str) -> None:
        self._api, self._namespace, self._name = api, namespace, name
        self._all = f"/apis/{_API_VERSION}/namespaces/{namespace}/leases"
        self._one = f"{self._all}/{name}"

    async def read(self) -> Lease | None:
        """See ``LeaseStore``."""
        try:
            found = await self._api.request("GET", self._one, seconds=_REQUEST_SECONDS)
        except NotFoundError:
            return None
        return read_lease(found)

    async def write(self, lease: Lease) -> Lease:
        """See ``LeaseStore``. A Lease that was never written is created."""
        body = self._body(lease)
        if lease.version:
            method, path = "PUT", self._one
        else:
            method, path = "POST", self._all
        try:
            written = await self._api.request(method, path, body=body, seconds=_REQUEST_SECONDS)
        except NotFoundError as error:
            if method == "POST":
                raise
            raise ConflictError(str(error)) from error
        return replace(lease, version=read_lease(written).version)

    def _body(self, lease: Lease) -> dict[str, Any]:
        metadata = {"name": self._name, "namespace": self._namespace}
        if lease.version:
            metadata["resourceVersion"] = lease.version
        spec = {
            "holderIdentity": lease.holder,
            "leaseDurationSeconds": lease.duration_seconds,
            "leaseTransitions": lease.transitions,
            "acquireTime": lease.acquired or None,
            "renewTime": lease.renewed or None,
        }
        return {"apiVersion": _API_VERSION, "kind": "Lease", "metadata": metadata, "spec": spec}


def read_lease(found: Mapping[str, Any]) -> Lease:
    """Reads a Lease object; a field that is missing or of another kind takes its zero."""
    spec = found.get("spec")
    spec = spec if isinstance(spec, Mapping) else {}
    metadata = found.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    return Lease(
        holder=str(spec.get("holderIdentity") or ""),
        duration_seconds=_whole(spec.get("leaseDurationSeconds"), _MOST_SECONDS),
        transitions=_whole(spec.get("leaseTransitions"), 2**31 - 2),
        acquired=str(spec.get("acquireTime") or ""),
        renewed=str(spec.get("renewTime") or ""),
        version=str(metadata.get("resourceVersion") or ""),
    )


def micro_time(time: datetime) -> str:
    """Returns a time as ``metav1.MicroTime`` is written: UTC, always six digits."""
    return time.astimezone(UTC).strftime(_MICRO_TIME)


def _whole(value: object, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return max(0, min(value, most))
