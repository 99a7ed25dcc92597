"""The operator as a process of its own, as in a pod: flags, probes, signals, exit status."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from api.component import Component
from api.ports import answers, free_ports
from api.rest import wait_for

_PROGRAM: Final = Path(sys.executable).with_name("cascade")
# The operator's own limit is 25 s.
_GRACE_SECONDS: Final = 30.0


class OperatorProcess(Component):
    """``cascade operator`` with free ports; :meth:`start` returns when ``/readyz`` answers.

    Attributes:
        health_port: Of ``/healthz`` and ``/readyz``.
        metrics_port: Of ``/metrics``.
    """

    def __init__(self, kubeconfig: Path, log: Path, *flags: str) -> None:
        """Describes one.

        Args:
            kubeconfig: Its user; the context's namespace holds its Lease.
            log: Receives its output.
            flags: Of ``cascade operator``, such as ``--namespace=team``.
        """
        self.health_port, self.metrics_port = free_ports(2)
        command = [str(_PROGRAM), "operator", f"--kubeconfig={kubeconfig}"]
        command += [f"--health-port={self.health_port}", f"--metrics-port={self.metrics_port}"]
        super().__init__(
            "cascade operator",
            [*command, "--log-format=json", *flags],
            log=log,
            ready=lambda: self.answers("readyz"),
            environment=_environment(),
            grace_seconds=_GRACE_SECONDS,
        )

    def answers(self, probe: str) -> bool:
        """Whether ``healthz`` or ``readyz`` answers 200; false where nobody listens."""
        try:
            return answers(f"http://127.0.0.1:{self.health_port}/{probe}")
        except OSError:
            return False

    def wait_healthy(self) -> None:
        """Waits for ``/healthz``."""
        wait_for("the operator is healthy", lambda: self.answers("healthz"))

    def logged(self) -> str:
        """All it has logged so far, over restarts."""
        return self.log.read_text(encoding="utf-8", errors="replace")


def _environment() -> dict[str, str]:
    """This process's environment without what would lead an operator elsewhere."""
    theirs = ("KUBE", "CASCADE_")
    return {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
