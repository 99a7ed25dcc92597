"""Someone with a shell, helm and kubectl, who types what a page of the documentation shows."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SYSTEM = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class Reader:
    """Types commands.

    Attributes:
        folder: Where: it looks like a checkout.
        environment: Of the shell.
    """

    folder: Path
    environment: Mapping[str, str]

    @classmethod
    def with_programs(cls, folder: Path, kubeconfig: Path, *programs: Path) -> Reader:
        """A reader who has some programs on the PATH, and a cluster in the kubeconfig."""
        tools = folder / ".bin"
        tools.mkdir(parents=True)
        for program in programs:
            (tools / program.name).symlink_to(program)
        return cls(
            folder,
            {"HOME": str(folder), "PATH": f"{tools}:{_SYSTEM}", "KUBECONFIG": str(kubeconfig)},
        )

    def types(self, command: str, *, seconds: float = 120) -> str:
        """Runs a command; returns its output.

        Raises:
            AssertionError: It failed, or did not end in time.
        """
        try:
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=self.folder,
                env=dict(self.environment),
                capture_output=True,
                text=True,
                check=False,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired as late:
            raise AssertionError(f"$ {command}\n{late.stdout}{late.stderr}\n{late}") from None
        assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
        return done.stdout

    @contextmanager
    def watches(self, command: str) -> Iterator[Path]:
        """Lets a command run that does not end by itself; gives the file it writes to."""
        seen = self.folder / ".seen"
        with seen.open("w") as out:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.folder,
                env=dict(self.environment),
                stdout=out,
                stderr=subprocess.STDOUT,
            )
            try:
                yield seen
            finally:
                os.kill(process.pid, signal.SIGINT)
                process.wait(10)
