"""What all of the operator's measurements stand on: the control plane, sessions, operators."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from api.binaries import ensure_binaries
from api.claims import create_claim
from api.control_plane import ControlPlane
from api.custom_resource import sessions_path
from api.operator_process import OperatorProcess
from api.rest import Rest, wait_for
from api.scenarios import scenario
from bench.operator.wire import Recording, Request, Wire

EXAMPLE = Path(__file__).parents[2] / "examples" / "quickstart.yaml"
NO_REDIS = "redis://127.0.0.1:1"
WRITES = frozenset({"post", "put", "patch", "delete"})
_NODES = 40
"""Room for the pods of all runs, 500 a node: to delete them takes longer than to measure."""
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Bed:
    """A running control plane, and a client of it."""

    plane: ControlPlane
    wire: Wire
    operators: list[OperatorProcess] = field(default_factory=list)

    @property
    def rest(self) -> Rest:
        """Single requests."""
        return self.plane.rest

    def namespace(self, name: str) -> str:
        """Makes a namespace in which sessions run."""
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        self.rest.create("/api/v1/namespaces", manifest)
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        wait_for("the default account", lambda: self.rest.get(account))
        create_claim(self.rest, name)
        return name

    def operator(self, namespace: str, *flags: str, redis: str = NO_REDIS) -> OperatorProcess:
        """Describes an operator of one namespace, whose Lease is there too."""
        folder = self.plane.folder
        kubeconfig = folder / f"{namespace}.kubeconfig"
        if not kubeconfig.exists():
            self.plane.write_admin_kubeconfig(kubeconfig, namespace)
        log = folder / "log" / f"operator-{namespace}-{len(self.operators)}.log"
        flags = (f"--namespace={namespace}", f"--redis-url={redis}", *flags)
        found = OperatorProcess(kubeconfig, log, *flags)
        self.operators.append(found)
        return found


@contextmanager
def started_bed() -> Iterator[Bed]:
    """Starts the control plane; ends it and every operator with the block."""
    plane = ControlPlane.create(ensure_binaries(print), nodes=_NODES)
    try:
        wire = Wire(plane.rest)
        bed = Bed(plane, wire)
        try:
            yield bed
        finally:
            wire.close()
            for operator in bed.operators:
                operator.stop()
    finally:
        plane.stop()


def apply(namespace: str, name: str, annotations: dict[str, str], **spec: Any) -> Request:
    """The request that applies a session: the quickstart with changes, all fifteen groups."""
    manifest = yaml.safe_load(EXAMPLE.read_text("utf-8"))
    manifest["metadata"] = {"name": name, "namespace": namespace}
    manifest["spec"] |= {"jobTemplate": {"metadata": {"annotations": annotations}}, **spec}
    return Request("POST", sessions_path(namespace), json.dumps(manifest).encode())


def held(seconds: float) -> dict[str, str]:
    """Every prepare ends at one instant, so many seconds from now; groups run until the end."""
    until = datetime.now(UTC) + timedelta(seconds=seconds)
    return scenario(**{"run-until.prepare": f"{until:%Y-%m-%dT%H:%M:%SZ}", "outcome.group": "hold"})


def until(what: str, probe: Callable[[], Any], seconds: float = 120.0) -> float:
    """Waits; returns the ``perf_counter`` when the probe had found something."""
    wait_for(what, probe, seconds=seconds)
    return time.perf_counter()


def until_quiet(*recordings: Recording, seconds: float = 2.0) -> None:
    """Waits until nothing happens any more."""
    until("quiet", lambda: all(one.quiet(seconds) for one in recordings))


def cpu_seconds(operator: OperatorProcess) -> float:
    """CPU time that its process has used."""
    fields = Path(f"/proc/{operator.pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def memory_mb(operator: OperatorProcess, line: str = "VmHWM") -> float:
    """Its peak of resident memory, or what else a line of its status says, in 10^6 bytes."""
    text = Path(f"/proc/{operator.pid}/status").read_text("ascii")
    return next(int(row.split()[1]) for row in text.splitlines() if row.startswith(line)) / 1e3


def requests_made(operator: OperatorProcess) -> dict[tuple[str, str], float]:
    """Requests by verb and resource, as its metrics count them."""
    found: dict[tuple[str, str], float] = {}
    for labels, value in counted(operator, "api_requests"):
        key = labels["verb"], labels["resource"]
        found[key] = found.get(key, 0) + value
    return found


def turns(operator: OperatorProcess) -> float:
    """How many turns its loop has taken."""
    return sum(value for _, value in counted(operator, "reconciles"))


def counted(operator: OperatorProcess, name: str) -> list[tuple[dict[str, str], float]]:
    """The samples of one of its counters."""
    url = f"http://127.0.0.1:{operator.metrics_port}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    return [
        (sample.labels, sample.value)
        for family in families
        for sample in family.samples
        if sample.name == f"cascade_operator_{name}_total"
    ]
