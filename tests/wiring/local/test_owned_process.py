from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cascade_operator.api.errors import ServiceUnavailable
from cascade_operator.local.orphans import ProcessIdentity, end_orphan
from cascade_operator.local.process import OwnedProcess

pytestmark = pytest.mark.process

PYTHON = [sys.executable, "-I", "-S", "-c"]


def wait_until(condition, seconds=60.0):
    """Waits for something that must become true; fails when it does not."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.02)


def _start(code, tmp_path, **options):
    return OwnedProcess.start("the test", [*PYTHON, code], log=tmp_path / "log", **options)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("raise SystemExit(0)", 0),
        ("raise SystemExit(75)", 75),
        ("import os; os.kill(os.getpid(), 9)", 137),
        ("import os; os.kill(os.getpid(), 15)", 143),
    ],
    ids=["done", "exit-code", "killed", "terminated"],
)
def test_the_end_is_told_as_a_pods_status_tells_it(tmp_path, code, expected):
    async def run():
        return await _start(code, tmp_path).wait()

    assert asyncio.run(run()) == expected


def test_a_program_that_does_not_exist_ends_with_a_line_in_its_log(tmp_path):
    async def run():
        process = OwnedProcess.start("it", ["/nonexistent/program"], log=tmp_path / "log")
        return await process.wait()

    assert asyncio.run(run()) == 127
    assert "/nonexistent/program: No such file" in (tmp_path / "log").read_text()


def test_a_process_that_ends_while_it_starts_is_reported_with_its_log(tmp_path):
    async def run():
        process = _start("raise SystemExit('the weights are missing')", tmp_path)
        await process.ready(lambda: None, seconds=60)

    with pytest.raises(ServiceUnavailable, match="ended while it started") as caught:
        asyncio.run(run())
    assert "the weights are missing" in str(caught.value)
    assert str(tmp_path / "log") in caught.value.mend


def test_a_process_that_is_never_ready_is_reported_after_the_deadline(tmp_path):
    async def run():
        process = _start("import time; time.sleep(60)", tmp_path)
        try:
            await process.ready(lambda: None, seconds=0.1)
        finally:
            await process.stop(0)

    with pytest.raises(ServiceUnavailable, match=r"not ready after 0\.1 s"):
        asyncio.run(run())


STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('deaf', flush=True)\n"
    "time.sleep(60)"
)


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace_period(tmp_path):
    async def run():
        process = _start(STUBBORN, tmp_path)
        await process.ready(lambda: (tmp_path / "log").read_text() or None, seconds=60)
        return await process.stop(0.1)

    assert asyncio.run(run()) == 137


def test_what_a_process_started_ends_with_it(tmp_path):
    code = (
        "import subprocess, sys, time\n"
        "command = [sys.executable, '-I', '-S', '-c', 'import time; time.sleep(60)']\n"
        "child = subprocess.Popen(command)\n"
        "print(child.pid, flush=True)\n"
    )

    async def run():
        await _start(code, tmp_path).wait()

    asyncio.run(run())
    child = int((tmp_path / "log").read_text())
    wait_until(lambda: ProcessIdentity.of(child) is None)


OWNER = """
import asyncio, signal, sys
from pathlib import Path
from cascade_operator.local.process import OwnedProcess

async def main():
    log, number = Path(sys.argv[1]), signal.Signals(int(sys.argv[2]))
    code = "import signal, sys, time\\n" \\
        "def end(*_): print('asked to end', flush=True); sys.exit(0)\\n" \\
        "signal.signal(signal.SIGTERM, end); print('up', flush=True); time.sleep(60)"
    process = OwnedProcess.start("x", [sys.executable, "-c", code], log=log, death_signal=number)
    await process.ready(lambda: log.read_text() or None, seconds=60)
    print(process.pid, flush=True)
    await process.wait()

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("number", "log"),
    [(signal.SIGKILL, "up\n"), (signal.SIGTERM, "up\nasked to end\n")],
    ids=["kill", "terminate"],
)
def test_it_is_gone_after_its_owner_was_killed(tmp_path, number, log):
    command = [sys.executable, "-c", OWNER, str(tmp_path / "log"), str(int(number))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        pid = int(owner.stdout.readline())
        assert ProcessIdentity.of(pid) is not None
        owner.kill()
        owner.wait()
    wait_until(lambda: ProcessIdentity.of(pid) is None)
    assert (tmp_path / "log").read_text() == log


def test_an_orphan_is_ended_by_its_identity(tmp_path):
    with subprocess.Popen([*PYTHON, "import time; time.sleep(60)"], start_new_session=True) as left:
        identity = ProcessIdentity.of(left.pid)
        assert identity is not None
        end_orphan(identity, grace_seconds=5)
        assert left.wait(5) == -signal.SIGTERM
    assert not identity.alive


def test_a_process_that_got_an_orphans_id_is_left_alone():
    mine = ProcessIdentity.of(os.getpid())
    assert mine is not None
    assert mine.alive
    for other in (
        ProcessIdentity(mine.pid, mine.started + 1, mine.boot),
        ProcessIdentity(mine.pid, mine.started, "another boot"),
    ):
        assert not other.alive
        end_orphan(other, grace_seconds=0)  # would end this very test otherwise


def test_the_launcher_starts_nothing_once_its_owner_is_gone(tmp_path):
    launcher = Path(sys.modules["cascade_operator.local.launch"].__file__)
    witness = tmp_path / "witness"
    code = f"open({str(witness)!r}, 'w')"
    not_our_parent = "1" if os.getpid() != 1 else "2"
    command = [sys.executable, "-I", "-S", str(launcher), not_our_parent, "9", "-", "--"]
    ended = subprocess.run([*command, *PYTHON, code], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not witness.exists()
