"""Flux's kustomize-controller beside the control plane, and what its Kustomizations say."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from api.binaries import module_folder
from api.component import Component
from api.ports import answers, free_ports
from api.rest import PATIENCE_SECONDS, ApiError, Rest, wait_for, wait_state
from cluster.bed import ClusterBed
from cluster.programs import KUSTOMIZE_CONTROLLER, SOURCE_CONTROLLER

NAMESPACE: Final = "flux-system"
MANAGER: Final = "kustomize-controller"
"""As field manager of what it applies."""
GROUP: Final = "kustomize.toolkit.fluxcd.io"

_CRDS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_BASE: Final = f"/apis/{GROUP}/v1/namespaces/{NAMESPACE}/kustomizations"
_OPTIONS: Final = (
    # A commit ends the wait for the health of an earlier one, as docs/gitops.md advises.
    "--feature-gates=CancelHealthCheckOnNewRevision=true",
    "--no-remote-bases",
)


class Flux:
    """A kustomize-controller with the rights that Flux's own installation gives it: all of them.

    Attributes:
        controller: Its process.
    """

    def __init__(self, bed: ClusterBed) -> None:
        """Prepares it; :meth:`start` starts it."""
        self._bed = bed
        self._folder = bed.plane.folder / "flux"
        bed.plane._user("flux", "/O=system:masters/CN=kustomize-controller")
        health, metrics = free_ports(2)
        self.controller = Component(
            KUSTOMIZE_CONTROLLER.name,
            [
                str(bed.parts.programs[KUSTOMIZE_CONTROLLER.name]),
                *_OPTIONS,
                f"--health-addr=127.0.0.1:{health}",
                f"--metrics-addr=127.0.0.1:{metrics}",
            ],
            log=bed.plane.folder / "log" / f"{KUSTOMIZE_CONTROLLER.name}.log",
            ready=lambda: answers(f"http://127.0.0.1:{health}/readyz"),
            environment={
                **os.environ,
                "KUBECONFIG": str(bed.plane.folder / "flux.kubeconfig"),
                "RUNTIME_NAMESPACE": NAMESPACE,
                "TMPDIR": str(self._folder),
            },
        )

    def start(self) -> None:
        """Installs the definitions of Kustomizations and sources, and starts the controller."""
        self._folder.mkdir()
        for program in (KUSTOMIZE_CONTROLLER, SOURCE_CONTROLLER):
            folder = module_folder(program, lambda _: None) / "config" / "crd" / "bases"
            for file in sorted(folder.glob("*.yaml")):
                install_definition(self._bed.rest, file)
        self._bed.namespace(NAMESPACE, lasting=True)
        self.controller.start()

    def stop(self) -> None:
        """Ends the controller."""
        self.controller.stop()

    def actions(self, revision: str, applied: str) -> list[str]:
        """What each sync of a revision did with an object, in order.

        Args:
            revision: The commit's.
            applied: The object, such as ``TrainingSession/team/triage``.

        Returns:
            ``created``, ``configured`` or ``unchanged``: the last is a sync that saw no drift.
        """
        lines = self.controller.log.read_text(encoding="utf-8").splitlines()
        entries = [json.loads(line) for line in lines if line.startswith("{")]
        return [
            entry["output"].get(applied, "")
            for entry in entries
            if entry.get("msg") == "server-side apply completed" and entry["revision"] == revision
        ]

    def kustomization(self, document: dict[str, Any]) -> Kustomization:
        """Creates a Kustomization from its document."""
        self._bed.rest.create(_BASE, document)
        return Kustomization(self._bed.rest, document["metadata"]["name"])


@dataclass(frozen=True)
class Kustomization:
    """A Kustomization on the server.

    Attributes:
        rest: Requests as the administrator.
        name: Its name.
    """

    rest: Rest
    name: str

    def status(self) -> dict[str, Any]:
        """Its status."""
        found: dict[str, Any] = self.rest.get(f"{_BASE}/{self.name}").get("status") or {}
        return found

    def ready(self) -> dict[str, Any]:
        """Its ``Ready`` condition; empty before the first."""
        return _condition(self.status(), "Ready")

    def inventory(self) -> list[str]:
        """The ids of what it has applied and would prune."""
        entries = self.status().get("inventory", {}).get("entries", [])
        return [entry["id"] for entry in entries]

    def wait_ready(self, revision: str, *, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """Waits until a revision is applied and healthy; returns ``Ready``."""
        return self._wait(
            f"ready with {revision}",
            lambda s: (
                s.get("lastAppliedRevision") == revision
                and _condition(s, "Ready").get("status") == "True"
            ),
            seconds,
        )

    def wait_failed(
        self, revision: str, reason: str, *, seconds: float = PATIENCE_SECONDS
    ) -> dict[str, Any]:
        """Waits until a revision has failed for a reason; returns ``Ready``."""

        def probe(status: dict[str, Any]) -> bool:
            ready = _condition(status, "Ready")
            failed = (ready.get("status"), ready.get("reason")) == ("False", reason)
            return failed and revision in _condition(status, "Reconciling").get("message", "")

        return self._wait(f"{reason} with {revision}", probe, seconds)

    def wait_health_asked(self, revision: str) -> None:
        """Waits until it has applied a revision and waits for its health."""
        self._wait(
            f"it waits for the health of {revision}",
            lambda s: (
                f"Running health checks for revision {revision}"
                in _condition(s, "Reconciling").get("message", "")
            ),
        )

    def reconcile(self, request: str) -> None:
        """Has it reconcile once, as ``flux reconcile`` does; returns when it has.

        Args:
            request: Another value each time.
        """
        asked = {"reconcile.fluxcd.io/requestedAt": request}
        self.rest.merge(f"{_BASE}/{self.name}", {"metadata": {"annotations": asked}})
        self._wait(
            f"request {request} is handled",
            lambda s: (
                s.get("lastHandledReconcileAt") == request and not _condition(s, "Reconciling")
            ),
        )

    def delete(self) -> None:
        """Asks for its deletion, which the end of a wait for health comes before."""
        self.rest.delete(f"{_BASE}/{self.name}")

    def wait_gone(self) -> None:
        """Waits until it has pruned and is gone."""
        wait_for(f"{self.name} is gone", lambda: self.name not in self._names())

    def _names(self) -> set[str]:
        return {item["metadata"]["name"] for item in self.rest.get(_BASE)["items"]}

    def _wait(
        self,
        what: str,
        probe: Callable[[dict[str, Any]], bool],
        seconds: float = PATIENCE_SECONDS,
    ) -> dict[str, Any]:
        last = wait_state(
            f"{self.name}: {what}",
            self.status,
            probe,
            show=lambda status: status.get("conditions"),
            seconds=seconds,
        )
        return _condition(last, "Ready")


def install_definition(rest: Rest, file: Path) -> None:
    """Creates a definition where it is missing, and waits until it is established."""
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    name = document["metadata"]["name"]
    try:
        rest.create(_CRDS, document)
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise
    wait_for(f"{name} is served", lambda: _established(rest.get(f"{_CRDS}/{name}")))


def _established(definition: dict[str, Any]) -> bool:
    return _condition(definition["status"], "Established").get("status") == "True"


def _condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = status.get("conditions") or []
    return next((one for one in found if one["type"] == kind), {})
