"""The control plane of a real node: reached by pods, with the controllers that services need."""

from __future__ import annotations

from typing import ClassVar, Final

from api.component import Component
from api.control_plane import ControlPlane
from cluster.network import ADDRESS

_MORE: Final = (
    *("cronjob-controller", "daemonset-controller", "deployment-controller"),
    *("endpoints-controller", "endpointslice-controller", "replicaset-controller"),
    "statefulset-controller",
)


class NodeControlPlane(ControlPlane):
    """Listens on the bridge too; has no kwok, since nodes are real, and no CRD of its own."""

    controllers: ClassVar[tuple[str, ...]] = (*ControlPlane.controllers, *_MORE)

    @property
    def _clients(self) -> tuple[Component, ...]:
        return (self.controller_manager, self.scheduler)

    def _install_kinds(self) -> None:
        """The CRD is the chart's to install."""

    def _address_options(self) -> tuple[str, ...]:
        return (
            "--bind-address=0.0.0.0",
            f"--advertise-address={ADDRESS}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--kubelet-client-certificate={self.admin.certificate}",
            f"--kubelet-client-key={self.admin.key}",
        )
