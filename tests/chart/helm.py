"""helm as a program: renders and lints the chart, offline."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

CHART: Final = Path(__file__).parents[2] / "charts" / "cascade-operator"
PRODUCTION: Final = CHART / "values-production.yaml"
_SOURCE: Final = re.compile(r"^# Source: \S+/(templates/\S+)$", re.M)
# libyaml's parser: the CRD alone takes the other a second.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class HelmError(Exception):
    """helm failed; the message is its standard error."""


@dataclass(frozen=True)
class Rendered:
    """What the chart became.

    Attributes:
        text: All of it.
        objects: Each object, in helm's order.
        sources: The template that each came from.
    """

    text: str
    objects: list[dict[str, Any]]
    sources: list[str]

    def kinds(self) -> set[str]:
        """The kinds that are there."""
        return {one["kind"] for one in self.objects}

    def of(self, kind: str, ending: str = "") -> dict[str, Any]:
        """The only object of a kind whose name ends so."""
        found = self.all(kind, ending)
        assert len(found) == 1, [one["metadata"]["name"] for one in found]
        return found[0]

    def all(self, kind: str, ending: str = "") -> list[dict[str, Any]]:
        """The objects of a kind whose name ends so."""
        return [
            one
            for one in self.objects
            if one["kind"] == kind and one["metadata"]["name"].endswith(ending)
        ]


@dataclass(frozen=True)
class Helm:
    """Runs helm with a home of its own.

    Attributes:
        program: Its path.
        home: The folder for what it keeps.
    """

    program: Path
    home: Path

    def __call__(self, *arguments: str, kubeconfig: Path | None = None, seconds: float = 60) -> str:
        """Runs a command and returns its standard output.

        Raises:
            HelmError: It ended with another status than 0.
        """
        names = ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")
        done = subprocess.run(
            [str(self.program), *arguments],
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith(("HELM", "KUBE"))},
                **{name: str(self.home / name.lower()) for name in names},
                "KUBECONFIG": str(kubeconfig or "/dev/null"),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        if done.returncode != 0:
            raise HelmError(f"{done.stdout}{done.stderr}")
        return done.stdout

    def render(
        self,
        values: dict[str, Any] | None = None,
        *,
        files: Sequence[Path] = (),
        release: str = "cascade-operator",
        namespace: str = "cascade-system",
        chart: Path = CHART,
    ) -> Rendered:
        """Renders the chart with these values over those of the files."""
        command = ["template", release, str(chart), f"--namespace={namespace}"]
        command += [f"--values={file}" for file in files]
        command += settings(values)
        return read(self(*command))

    def lint(self, values: dict[str, Any] | None = None, *, files: Sequence[Path] = ()) -> str:
        """Lints the chart strictly."""
        flags = [f"--values={file}" for file in files] + settings(values)
        return self("lint", "--strict", str(CHART), *flags)


def settings(values: dict[str, Any] | None) -> list[str]:
    """Values as flags: ``{"redis.enabled": False}``."""
    return [f"--set-json={key}={json.dumps(value)}" for key, value in (values or {}).items()]


def read(text: str) -> Rendered:
    """Reads what ``helm template`` printed."""
    objects, sources = [], []
    for part in re.split(r"^---$", text, flags=re.M):
        found = yaml.load(part, Loader=_LOADER)
        if found is not None:
            source = _SOURCE.search(part)
            objects.append(found)
            sources.append(source[1] if source else "")
    return Rendered(text, objects, sources)
