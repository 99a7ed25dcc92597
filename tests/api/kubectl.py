"""The built kubectl as one user, with a cache of its own."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


class KubectlError(Exception):
    """kubectl failed; the message is its standard error."""


@dataclass(frozen=True)
class Kubectl:
    """Runs kubectl.

    Attributes:
        program: The built one.
        kubeconfig: Of the user.
        cache: The folder it keeps the API's description in.
        namespace: What ``-n`` says; empty for that of the kubeconfig.
    """

    program: Path
    kubeconfig: Path
    cache: Path
    namespace: str = ""

    def __call__(self, *arguments: str, stdin: str | None = None, seconds: float = 150) -> str:
        """Runs a command and returns its standard output.

        Raises:
            KubectlError: It ended with another status than 0.
        """
        command = [str(self.program), f"--kubeconfig={self.kubeconfig}"]
        command += [f"--cache-dir={self.cache}"]
        if self.namespace:
            command.append(f"--namespace={self.namespace}")
        done = subprocess.run(
            [*command, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        if done.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout
