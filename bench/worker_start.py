"""How soon a group's worker makes its first model call, and how large it is by then.

A real worker process, started as a run on one machine starts it, against a Redis that a real
prepare has filled. Its first call is held by the server until its memory was read, and then the
worker is ended. Beside it, in turn: a bare interpreter that imports the libraries a worker needs.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import redis

from bench.figure import Figure
from bench.four_tiers import job_context, job_environment, run_config, trace_rows, write_traces
from bench.servers import redis_url
from cascade_operator.local.job_process import WORKER
from cascade_operator.worker.prepare import run_prepare
from fakes.model_answers import answers_of_trace
from fakes.model_server import FakeModelServer, Recorded

COMMAND = "python -m bench worker_start"
ROUNDS = 7
GROUP = ("group", "--group", "00", "--seconds-left", "3600")
IMPORTS = "import dspy, optuna, redis, numpy, ollama, time; print(time.monotonic())"
MIB = 1 << 20


def measure() -> list[Figure]:
    rows = trace_rows(24)
    with (
        tempfile.TemporaryDirectory(prefix="cw-") as name,
        HoldingServer([answers_of_trace(row) for row in rows]) as server,
        redis_url() as store,
    ):
        folder = Path(name)
        task = {"provider": "OpenAI", "model": "fake", "endpoint": server.url}
        config = run_config(
            models={
                "task": task,
                "embedding": {"endpoint": server.url},
                "reduction": {"method": "PCA"},
            },
            optimizer={"candidates": 2, "trials": 2},
        )
        environment = job_environment(folder, store, config, write_traces(folder, rows))
        run_prepare(job_context(environment))
        client = redis.Redis.from_url(store)
        started: list[tuple[float, int]] = []
        imported: list[float] = []
        for _ in range(ROUNDS + 1):
            started.append(_first_call(server, environment))
            imported.append(_imports())
            # The worker was killed in its call, and the next one is not to wait for its lease.
            client.delete(*client.scan_iter("cascade:cache:*:lease"))
    seconds = statistics.median(taken for taken, _ in started[1:])
    alone = statistics.median(imported[1:])
    size = statistics.median(resident for _, resident in started[1:])
    print(f"  first call after {seconds:.2f} s, the imports alone take {alone:.2f} s")
    return [
        Figure("worker start: first model call over imports", seconds / alone, 1.5, False, COMMAND),
        Figure("worker start: MiB resident at the first call", size / MIB, 130, False, COMMAND),
    ]


class HoldingServer(FakeModelServer):
    """Holds the first chat after :meth:`hold` until it is let go."""

    def __init__(self, answers: list[dict[str, object]]) -> None:
        super().__init__(answers)
        self._armed = False
        self.arrived, self.go = threading.Event(), threading.Event()
        self.at = 0.0

    def hold(self) -> None:
        """The next chat is the first."""
        self.arrived.clear()
        self.go.clear()
        self._armed = True

    def record(self, recorded: Recorded) -> None:
        """Called for each request before it is answered."""
        super().record(recorded)
        if self._armed and "chat" in recorded.path:
            self._armed = False
            self.at = time.monotonic()
            self.arrived.set()
            self.go.wait(60)


def _first_call(server: HoldingServer, environment: dict[str, str]) -> tuple[float, int]:
    """Seconds until the first call, and the bytes the worker holds then."""
    server.hold()
    begin = time.monotonic()
    process = subprocess.Popen(
        [*WORKER, *GROUP],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        if not server.arrived.wait(120):
            raise SystemExit(f"the worker made no call; it ended with {process.poll()}")
        return server.at - begin, psutil.Process(process.pid).memory_info().rss
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        server.go.set()


def _imports() -> float:
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True
    )
    return float(done.stdout) - begin
