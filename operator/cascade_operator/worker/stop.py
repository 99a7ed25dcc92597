"""How a worker leaves when it is told to: within five seconds, with everything saved.

A search saves a checkpoint after each trial, so what is lost by leaving is the trial in flight;
its model calls stay in the shared cache. Threads that wait for a model server cannot be
interrupted, and the interpreter would wait for them at exit (up to a call's timeout). So the
process ends itself without that wait once its files are flushed.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType

from cascade_operator.api.errors import Terminated
from cascade_operator.api.exit_codes import ExitCode

_LOG = logging.getLogger(__name__)

GRACE_SECONDS = 4.0
"""From the signal to the end at the latest; a pod's default grace period is 30 s."""


class StopSignal:
    """Set once by SIGTERM or SIGINT; read by everything that waits."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def check(self) -> None:
        """Raises Terminated once the process was told to stop."""
        if self.event.is_set():
            raise Terminated("told to stop; the checkpoint is saved")

    def install(self) -> None:
        """Takes over SIGTERM and SIGINT. Python as process 1 ignores SIGTERM without this.

        SIGHUP is not for a worker: it has no terminal, and the command that started it stops it.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.event.is_set():
            return
        self.event.set()
        _LOG.info("signal %d: leaving", number)
        timer = threading.Timer(GRACE_SECONDS, leave, args=(ExitCode.TERMINATED,))
        timer.daemon = True
        timer.start()


def leave(code: int) -> None:
    """Ends the process now, without waiting for threads that hang in a model call."""
    for flush in (logging.shutdown, sys.stdout.flush, sys.stderr.flush):
        with suppress(OSError, ValueError):  # a log on a full disk must not change the exit code
            flush()
    os._exit(code)
