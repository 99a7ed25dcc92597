"""Servers that benchmarks run against, each for the time of a block."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cascade_operator.local.servers.valkey import start_valkey

INSTANT = Path(__file__).with_name("instant_server.py")


@contextmanager
def redis_url() -> Iterator[str]:
    """The embedded Redis, as `cascade run` starts it."""
    with tempfile.TemporaryDirectory(prefix="cv-") as folder, asyncio.Runner() as runner:
        state = Path(folder)
        server = runner.run(start_valkey(state / "redis", log=state / "redis.log"))
        try:
            yield server.environment["CASCADE_REDIS_URL"]
        finally:
            runner.run(server.stop())


@contextmanager
def serving(command: Sequence[str]) -> Iterator[str]:
    """A server in a process of its own that prints its URL as its first line."""
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()
