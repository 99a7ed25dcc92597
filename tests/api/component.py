"""One process of the test bed: owned, logged, ended by its id, stopped and started by tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from api.toolchain import TestBedError
from cascade_operator.local import launch

_POLL_SECONDS: Final = 0.02
_TAIL_LINES: Final = 25


class Component:
    """A program that a test may stop, pause, kill and start again.

    It is started from the main thread: the kernel ends it with the thread that started it, so
    that nothing outlives a killed test run.

    Attributes:
        starts: How often it was started.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        ready: Callable[[], bool] = lambda: True,
        environment: Mapping[str, str] | None = None,
        grace_seconds: float = 10.0,
    ) -> None:
        """Describes a program; :meth:`start` starts it.

        Args:
            name: What errors call it.
            command: Program and arguments.
            log: Receives its output, appended over restarts.
            ready: Whether it serves; quick, false or raises ``OSError`` while it does not.
            environment: The whole environment; this process's own when None.
            grace_seconds: How long :meth:`stop` waits before it kills.
        """
        self.name = name
        self.command = list(command)
        self.log = log
        self._ready = ready
        self._environment = environment
        self._grace_seconds = grace_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    @property
    def pid(self) -> int:
        """The id of the running process."""
        assert self._process is not None, f"{self.name} is not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it is started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self, *, wait_seconds: float = 60.0) -> None:
        """Starts it and waits until it serves; 0 seconds start it only."""
        assert not self.running, f"{self.name} runs already"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        options = [str(os.getpid()), str(int(signal.SIGKILL)), "-", "--"]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", launch.__file__, *options, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if self._environment is None else dict(self._environment),
                start_new_session=True,
            )
        self.starts += 1
        if wait_seconds:
            self.wait_ready(wait_seconds)

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Waits until it serves.

        Raises:
            TestBedError: It ended, or the time passed; shows the end of its log.
        """
        deadline = time.monotonic() + seconds
        while not self._serves():
            self.check()
            if time.monotonic() > deadline:
                raise TestBedError(
                    f"{self.name} does not serve after {seconds:g} s:\n{self.log_tail()}"
                )
            time.sleep(_POLL_SECONDS)

    def check(self) -> None:
        """Raises ``TestBedError`` with the end of its log where it has ended by itself."""
        if self._process is not None and (code := self._process.poll()) is not None:
            raise TestBedError(f"{self.name} ended with {code}:\n{self.log_tail()}")

    def stop(self) -> int:
        """Asks it to end and waits; kills it after its grace period.

        Returns:
            Its exit status; negative for a signal.
        """
        if self._process is None:
            return 0
        self.resume()
        self._signal(signal.SIGTERM)
        try:
            code = self._process.wait(self._grace_seconds)
        except subprocess.TimeoutExpired:
            code = self.kill()
        self._process = None
        return code

    def kill(self) -> int:
        """Ends it at once, as a lost machine would."""
        assert self._process is not None, f"{self.name} is not started"
        self._signal(signal.SIGKILL)
        code = self._process.wait()
        self._process = None
        return code

    def pause(self) -> None:
        """Has it stand still, with its connections open."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Has it go on after :meth:`pause`."""
        self._signal(signal.SIGCONT)

    def wait(self, seconds: float) -> int:
        """Waits for its own end and returns its exit status.

        Raises:
            TestBedError: It did not end in time.
        """
        assert self._process is not None, f"{self.name} is not started"
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise TestBedError(f"{self.name} still runs:\n{self.log_tail()}") from None
        self._process = None
        return code

    def log_tail(self, lines: int = _TAIL_LINES) -> str:
        """The last lines of its log, indented."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return "\n".join(f"  {line}" for line in text.splitlines()[-lines:]) or "  (nothing logged)"

    def _serves(self) -> bool:
        try:
            return self._ready()
        except OSError:
            return False

    def _signal(self, number: signal.Signals) -> None:
        if self.running:
            os.kill(self.pid, number)
