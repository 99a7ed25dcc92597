"""`cascade` as its user runs it: in a process of its own, which a test may interrupt or kill."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psutil

from cascade_operator.local.orphans import ProcessIdentity

COMMAND = (sys.executable, "-m", "cascade_operator.cli.main")


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed on both streams."""

    code: int
    text: str


def cascade(*arguments: object, timeout: float = 300.0) -> Ended:
    """Runs a command to its end."""
    with start_cascade(*arguments) as started:
        return started.end(timeout)


@contextlib.contextmanager
def start_cascade(*arguments: object) -> Iterator[StartedCascade]:
    """Starts a command; whatever is left of it at the block's end is killed."""
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    started = StartedCascade(process)
    try:
        yield started
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


class StartedCascade:
    """A command under way."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def end(self, timeout: float = 300.0) -> Ended:
        """Waits for its end."""
        text, _ = self._process.communicate(timeout=timeout)
        return Ended(self._process.returncode, text)

    def descendants(self) -> set[ProcessIdentity]:
        """The processes it has started, and those that they have."""
        children = psutil.Process(self._process.pid).children(recursive=True)
        return {found for c in children if (found := ProcessIdentity.of(c.pid)) is not None}

    def kill(self) -> set[ProcessIdentity]:
        """Ends the command alone, as the kernel would; returns what it had started."""
        left = self.descendants()
        self._process.kill()
        self._process.wait()
        return left

    def interrupt(self, timeout: float = 90.0) -> Ended:
        """Presses Ctrl-C once and waits for the end."""
        self._process.send_signal(signal.SIGINT)
        return self.end(timeout)

    def until(self, condition: Callable[[], object], seconds: float = 120.0) -> None:
        """Waits for something the command has to bring about."""
        deadline = time.monotonic() + seconds
        while not condition():
            if self._process.poll() is not None:
                raise AssertionError(f"it ended before that:\n{self.end().text}")
            assert time.monotonic() < deadline, "it did not come true in time"
            time.sleep(0.02)


def until_gone(processes: set[ProcessIdentity], seconds: float = 45.0) -> None:
    """Waits until none of these processes runs."""
    deadline = time.monotonic() + seconds
    while left := [process for process in processes if process.alive]:
        shown = [(process.pid, command_line(process)) for process in left]
        assert time.monotonic() < deadline, f"these are left: {shown}"
        time.sleep(0.02)


def kill_process(pid: int) -> None:
    """Ends one process as the kernel would."""
    os.kill(pid, signal.SIGKILL)


def command_line(process: ProcessIdentity) -> str:
    """A process's command line; empty once it is gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return " ".join(psutil.Process(process.pid).cmdline())
    return ""
