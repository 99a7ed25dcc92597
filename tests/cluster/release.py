"""A release of the chart on the cluster, as helm makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from api.binaries import HELM
from api.rest import ApiError
from chart.helm import CHART, Helm, HelmError, Rendered, read, settings
from cluster.bed import ClusterBed

_PATIENTLY: Final = ("--wait", "--timeout=4m")


@dataclass(frozen=True)
class Release:
    """One release; nothing is installed yet.

    Attributes:
        bed: The cluster.
        name: The release's name.
        namespace: Where its own objects are.
        values: Over the chart's defaults.
    """

    bed: ClusterBed
    name: str
    namespace: str
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fullname(self) -> str:
        """What its objects are named after."""
        return self.name if CHART.name in self.name else f"{self.name}-{CHART.name}"

    def install(self, *, wait: bool = True) -> str:
        """Installs the chart, by default until its pods are ready; returns what helm said."""
        words = [*(_PATIENTLY if wait else ()), *settings(dict(self.values))]
        return self._helm("install", self.name, str(CHART), *words)

    def upgrade(self, chart: Path = CHART) -> str:
        """Upgrades it to another chart, until its pods are ready; its values stay."""
        return self._helm(
            "upgrade", self.name, str(chart), "--reset-then-reuse-values", *_PATIENTLY
        )

    def uninstall(self) -> str:
        """Uninstalls it, until what goes is gone; returns what helm said of the rest."""
        return self._helm("uninstall", self.name, *_PATIENTLY)

    def test(self) -> str:
        """Runs the chart's test; returns what helm said."""
        return self._helm("test", self.name)

    def installed(self) -> Rendered:
        """What helm has installed."""
        return read(self._helm("get", "manifest", self.name))

    def pods(self, component: str) -> list[dict[str, Any]]:
        """Its pods of a component: ``operator``, ``redis``."""
        selector = f"app.kubernetes.io/instance={self.name},app.kubernetes.io/component={component}"
        return self.bed.pods(self.namespace, selector)

    def ready(self, component: str) -> list[dict[str, Any]]:
        """Those of them that are ready."""
        return [
            pod
            for pod in self.pods(component)
            if "deletionTimestamp" not in pod["metadata"]
            and any(
                c["type"] == "Ready" and c["status"] == "True"
                for c in pod["status"].get("conditions", [])
            )
        ]

    def log(self, component: str) -> str:
        """What its pods of a component have written."""
        return "\n".join(
            self.bed.log(self.namespace, pod["metadata"]["name"]) for pod in self.pods(component)
        )

    def _helm(self, *words: str) -> str:
        """Runs helm in the release's namespace.

        Raises:
            AssertionError: It failed; with the states of the release's pods and their logs.
        """
        helm = Helm(self.bed.parts.programs[HELM.name], self.bed.plane.folder / "helm")
        user = self.bed.plane.kubeconfig
        try:
            return helm(*words, f"--namespace={self.namespace}", kubeconfig=user, seconds=300)
        except HelmError as error:
            raise AssertionError(f"helm {words[0]} {self.name}: {error}\n{self._told()}") from None

    def _told(self) -> str:
        """The release's pods as they stand, for a reader."""
        return "\n".join(
            f"--- {pod['metadata']['name']} {pod['status']}\n{self._end_of_log(pod)}"
            for pod in self.bed.pods(self.namespace, f"app.kubernetes.io/instance={self.name}")
        )

    def _end_of_log(self, pod: Mapping[str, Any]) -> str:
        try:
            return self.bed.log(self.namespace, pod["metadata"]["name"])[-1500:]
        except (ApiError, OSError) as error:
            return str(error)
