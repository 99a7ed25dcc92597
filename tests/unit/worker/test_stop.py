"""A worker that is told to stop leaves, whatever its threads wait for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from cascade_operator.api.errors import Terminated
from cascade_operator.worker.stop import StopSignal


def test_nothing_is_raised_before_a_signal():
    StopSignal().check()


def test_a_job_that_asks_is_told_to_leave():
    stop = StopSignal()
    stop.event.set()
    with pytest.raises(Terminated, match="checkpoint is saved"):
        stop.check()


HANGS = """
import sys, threading, time
from cascade_operator.worker import stop
stop.GRACE_SECONDS = 0.2
signals = stop.StopSignal()
signals.install()
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""
LEAVES = """
import sys, threading, time
from cascade_operator.worker.stop import StopSignal, leave
signals = StopSignal()
signals.install()
threading.Thread(target=time.sleep, args=(60,)).start()
print("ready", flush=True)
signals.event.wait()
sys.stdout.write("last words")
leave(75)
"""


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("code", "expected", "said"), [(HANGS, 143, ""), (LEAVES, 75, "last words")], ids=["hung", "ok"]
)
def test_a_signal_ends_the_process_in_time(number, code, expected, said):
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as worker:
        assert worker.stdout.readline() == "ready\n"
        worker.send_signal(number)
        rest, _ = worker.communicate(timeout=60)
    assert worker.returncode == expected
    assert rest == said


@pytest.mark.process
def test_a_log_on_a_full_disk_changes_no_exit_code():
    code = LEAVES.replace('print("ready", flush=True)', "").replace("signals.event.wait()", "")
    # Buffered, what was printed fails as it leaves.
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device, no path of ours
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, stdout=full, stderr=full, env=buffered, timeout=60, check=False
        )
    assert done.returncode == 75
