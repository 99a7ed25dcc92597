"""The binary trace store against storing each trace by itself as eight hash writes."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import redis

from bench.figure import Figure, paired_medians
from cascade_operator.api.keys import RunKeys
from cascade_operator.local.servers.valkey import start_valkey
from cascade_operator.traces.record import Split, TraceRecord
from cascade_operator.traces.store import TraceStore

COMMAND = "python -m bench trace_store"
TRACES = 2000
NODES = ("a", "b", "c", "d")


@contextmanager
def _redis() -> Iterator[redis.Redis]:
    with tempfile.TemporaryDirectory(prefix="cv-") as folder, asyncio.Runner() as runner:
        state = Path(folder)
        server = runner.run(start_valkey(state / "redis", log=state / "redis.log"))
        try:
            yield redis.Redis.from_url(server.environment["CASCADE_REDIS_URL"])
        finally:
            runner.run(server.stop())


def measure() -> list[Figure]:
    generator = np.random.default_rng(42)
    columns = 2 * len(NODES) + 1
    raw = generator.standard_normal((columns, TRACES, 256), dtype=np.float32)
    reduced = raw[:, :, :64].copy()
    records = [_record(i) for i in range(TRACES)]
    split = {record.record_id: Split.TRAINING for record in records}
    with _redis() as client:
        store = TraceStore(client, RunKeys("bench", 1))

        def chunked() -> None:
            store.write(records, split, raw, reduced, "bench", nodes=NODES)

        def naive() -> None:
            for i, record in enumerate(records):
                for column in range(2 * len(NODES)):
                    client.hset(
                        f"naive:{record.record_id}",
                        f"{column}",
                        raw[column, i].tobytes() + reduced[column, i].astype(np.float16).tobytes(),
                    )

        slow, quick = paired_medians(naive, chunked, rounds=3)
    return [Figure("trace store: chunked writes over hash writes", slow / quick, 20, True, COMMAND)]


def _record(number: int) -> TraceRecord:
    fields = {node: {"text": f"{node} {number}"} for node in NODES}
    return TraceRecord(f"r{number}", fields, fields, {"text": str(number)})
