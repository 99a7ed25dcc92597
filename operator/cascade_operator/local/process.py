"""A process this one owns: it ends with its owner, is waited for, and is stopped by its id."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

from cascade_operator.api.errors import ServiceUnavailable
from cascade_operator.local import launch

T = TypeVar("T")

_LAUNCHER: Final = str(Path(launch.__file__))
_PROBE_SECONDS: Final = 0.03
_TAIL_BYTES: Final = 2000


class OwnedProcess:
    """One process in a session of its own, with its output in a log file.

    It must be started from the thread that runs the event loop: the kernel ties the parent-death
    signal to the starting thread, not to its process.
    """

    def __init__(self, name: str, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.log = log
        self._popen = popen
        self._ended: asyncio.Future[int] | None = None

    @classmethod
    def start(
        cls,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        death_signal: signal.Signals = signal.SIGKILL,
        cgroup_procs: Path | None = None,
        folder: Path | None = None,
    ) -> OwnedProcess:
        """Starts a command.

        Args:
            name: What errors call it.
            command: Program and arguments; no shell sees them.
            log: Receives standard output and error, appended.
            environment: The whole environment; this process's own when None.
            death_signal: What it receives when this process is gone, also after a kill -9.
            cgroup_procs: The ``cgroup.procs`` file of the cgroup it joins before it runs.
            folder: The working directory.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        launcher = [sys.executable, "-I", "-S", _LAUNCHER]
        options = [str(os.getpid()), str(int(death_signal)), str(cgroup_procs or "-"), "--"]
        with log.open("ab") as output:
            popen = subprocess.Popen(
                [*launcher, *options, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if environment is None else dict(environment),
                cwd=folder,
                start_new_session=True,
            )
        return cls(name, popen, log)

    @property
    def pid(self) -> int:
        """Its process id, which is also its process group's."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._popen.returncode is None and _exit_status(self.pid) is None

    async def wait(self) -> int:
        """Waits for its end and for that of everything it started.

        Returns:
            The exit status; 128 plus the number for a signal, as in a pod's status.
        """
        if self._ended is None:
            self._ended = asyncio.get_running_loop().create_future()
            self._watch(self._ended)
        return await asyncio.shield(self._ended)

    def _watch(self, ended: asyncio.Future[int]) -> None:
        loop = asyncio.get_running_loop()
        descriptor = os.pidfd_open(self.pid)

        def on_end() -> None:
            loop.remove_reader(descriptor)
            os.close(descriptor)
            # Before the id is given back to the kernel: children must not outlive a Job.
            self.signal(signal.SIGKILL)
            code = self._popen.wait()
            if not ended.done():
                ended.set_result(code if code >= 0 else 128 - code)

        loop.add_reader(descriptor, on_end)

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the process and what it started, if it was not yet waited for."""
        if self._popen.returncode is not None:
            return
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            # The group does not exist until setsid ran, or holds a zombie only.
            self._popen.send_signal(number)

    async def stop(self, grace_seconds: float) -> int:
        """Asks it to end, and ends it when the grace period has passed.

        Returns:
            The exit status as :meth:`wait` gives it.
        """
        self.signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self.wait(), grace_seconds)
        except TimeoutError:
            self.signal(signal.SIGKILL)
            return await self.wait()

    async def ready(self, probe: Callable[[], T | None], *, seconds: float) -> T:
        """Waits until a probe returns something.

        Args:
            probe: Called again and again, quick, returns None while the process is not ready.
            seconds: The deadline.

        Raises:
            ServiceUnavailable: It ended, or the deadline passed; shows the log's last lines.
        """
        deadline = time.monotonic() + seconds
        while True:
            found = await asyncio.to_thread(probe)
            if found is not None:
                return found
            if not self.running:
                raise ServiceUnavailable(
                    f"{self.name} ended while it started:\n{self.log_tail()}",
                    mend=f"read its log, {self.log}",
                )
            if time.monotonic() > deadline:
                raise ServiceUnavailable(
                    f"{self.name} was not ready after {seconds:g} s:\n{self.log_tail()}",
                    mend=f"read its log, {self.log}; a busy machine may just need a second try",
                )
            await asyncio.sleep(_PROBE_SECONDS)

    def log_tail(self) -> str:
        """The last lines of its log, indented, for an error message."""
        try:
            with self.log.open("rb") as stream:
                stream.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
                text = stream.read().decode("utf-8", errors="replace")
        except OSError as error:
            return f"  (no log: {error.strerror})"
        return "\n".join(f"  {line}" for line in text.splitlines()[-12:]) or "  (the log is empty)"


def _exit_status(pid: int) -> int | None:
    """The status of a child that has ended, without taking it from the kernel."""
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return None if ended is None else ended.si_status
