"""A command whose terminal is closed, or whose output nobody reads any more."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
import sys

import pytest

from fakes.cascade_cli import COMMAND, cascade
from fakes.ticket_runs import TicketRun, findings

pytestmark = [pytest.mark.process, pytest.mark.faults]

ON_A_TERMINAL = """
import fcntl, os, signal, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_a_closed_terminal_saves_and_stops_and_the_same_command_resumes(
    undisturbed, server, tmp_path
):
    run = TicketRun(tmp_path / "state")
    arguments = ["run", str(undisturbed.session), "--state", str(run.state)]
    master, slave = pty.openpty()
    with server.hold(lambda request: "proposed_instruction" in str(request.body)) as held:
        process = subprocess.Popen(
            [sys.executable, "-c", ON_A_TERMINAL, *COMMAND, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=os.environ | {"TERM": "xterm"},
        )
        os.close(slave)
        try:
            _read_until(master, held)
            os.close(master)
            assert process.wait(60) == 143
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
    assert run.status["phase"] == "Preparing"
    # Nobody reads the rest: the run is not for its output.
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE) as again:
        again.stdout.readline()
        again.stdout.close()
        assert again.wait(200) == 0
    assert run.status["phase"] == "Complete"
    assert findings(run.archive()) == findings(undisturbed.run.archive())
    assert cascade(*arguments).code == 0


def _read_until(master, event):
    """Reads a terminal, which would stop the writer when it is full, until something happens."""

    while not event.is_set():
        if select.select([master], [], [], 0.05)[0]:
            os.read(master, 65536)
