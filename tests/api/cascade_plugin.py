"""``kubectl cascade`` as users run it: a process of its own, its output in a pipe or a terminal."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

PROGRAM: Final = Path(sys.executable).with_name("kubectl-cascade")
_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Ended:
    """A command that has ended: its exit status and what it wrote."""

    code: int
    output: str
    errors: str


@dataclass
class Running:
    """A command that runs.

    Attributes:
        process: Its process.
        terminal: The other side of its terminal; None where it writes into a pipe.
        shown: What it has written so far.
    """

    process: subprocess.Popen[bytes]
    terminal: int | None = None
    shown: bytes = field(default=b"")

    def read_until(self, words: str) -> None:
        """Reads until it has written some words."""
        deadline = time.monotonic() + _SECONDS
        while words.encode() not in self.shown:
            assert time.monotonic() < deadline, self.shown
            read = self._read()
            assert read, f"it ended: {self.shown!r}"
            self.shown += read

    def interrupt(self) -> Ended:
        """Does what Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        return self.finish()

    def finish(self) -> Ended:
        """Waits for its end."""
        with suppress(OSError):  # a terminal whose other side is closed
            while read := self._read():
                self.shown += read
        code = self.process.wait(_SECONDS)
        assert self.process.stderr is not None
        return Ended(code, self.shown.decode(), self.process.stderr.read().decode())

    def _read(self) -> bytes:
        if self.terminal is not None:
            return os.read(self.terminal, 65536)
        assert self.process.stdout is not None
        return os.read(self.process.stdout.fileno(), 65536)


@dataclass(frozen=True)
class Plugin:
    """Runs the plugin as one user.

    Attributes:
        kubeconfig: Of the user; its context names a namespace.
    """

    kubeconfig: Path

    def __call__(self, *arguments: str) -> Ended:
        """Runs a command to its end."""
        with self.running(*arguments) as command:
            return command.finish()

    @contextmanager
    def running(self, *arguments: str, terminal: bool = False) -> Iterator[Running]:
        """Starts a command; one that still runs when the block ends is killed."""
        ours, theirs = pty.openpty() if terminal else (None, subprocess.PIPE)
        environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
        process = subprocess.Popen(
            [PROGRAM, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=subprocess.PIPE,
            env={**environment, "KUBECONFIG": str(self.kubeconfig), "TERM": "xterm"},
            start_new_session=True,
        )
        if ours is not None:
            os.close(theirs)
        try:
            yield Running(process, ours)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
            if ours is not None:
                os.close(ours)

    def into_a_closed_pipe(self, *arguments: str) -> Ended:
        """Runs a command whose reader is gone before it writes, as ``| head`` may be."""
        read, write = os.pipe()
        os.close(read)
        try:
            done = subprocess.run(
                [PROGRAM, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=write,
                stderr=subprocess.PIPE,
                env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
                timeout=_SECONDS,
                check=False,
            )
        finally:
            os.close(write)
        return Ended(done.returncode, "", done.stderr.decode())
