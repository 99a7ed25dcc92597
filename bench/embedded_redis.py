"""The embedded Redis for a benchmark, and the yardstick that its distribution ships."""

from __future__ import annotations

import asyncio
import csv
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from cascade_operator.local.servers.valkey import start_valkey
from cascade_operator.traces.redis_packer import ViewPacker

_TOOLS = ("redis-benchmark", "valkey-benchmark")
_MAX_MEMORY = 3 << 30


@contextmanager
def embedded_redis() -> Iterator[redis.Redis]:
    """Starts the server with the settings of a local run and room for large ones; a client."""
    with tempfile.TemporaryDirectory(prefix="cv-") as folder, asyncio.Runner() as runner:
        state = Path(folder)
        server = runner.run(
            start_valkey(state / "redis", log=state / "redis.log", max_memory=_MAX_MEMORY)
        )
        try:
            client = redis.Redis.from_url(server.url, command_packer=ViewPacker())
            # A rewrite of the append-only file would fall on whoever is measured just then.
            client.config_set("auto-aof-rewrite-percentage", 0)
            yield client
        finally:
            runner.run(server.stop())


def socket_of(client: redis.Redis) -> str:
    """Returns the server's Unix socket."""
    return str(client.connection_pool.connection_kwargs["path"])


def set_bytes_per_second(client: redis.Redis, size: int) -> float:
    """Returns how many bytes a second redis-benchmark writes with SET of values of a size."""
    program = next((found for tool in _TOOLS if (found := shutil.which(tool))), None)
    if program is None:
        sys.exit(
            "redis-benchmark is not in PATH: install Debian's redis-tools (apt-get install "
            "redis-tools), or put valkey-benchmark there"
        )
    requests = max(100, (192 << 20) // size)
    command = [
        program, "-s", socket_of(client), "-t", "set", "-d", str(size), "-n", str(requests),
        "--csv",
    ]  # fmt: skip
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = list(csv.reader(answer.splitlines()))
    return float(rows[-1][1]) * size
