"""The binary trace store: writes, reads and memory, and preparing 100,000 traces."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import redis

from bench.embedded_redis import embedded_redis, set_bytes_per_second, socket_of
from bench.figure import Figure, paired_medians
from cascade_operator.api.keys import RunKeys
from cascade_operator.traces.chunk import MAX_TRACES
from cascade_operator.traces.record import Split, TraceRecord
from cascade_operator.traces.store import TraceStore

COMMAND = "python -m bench trace_store"
NODES = ("a", "b", "c", "d")
COLUMNS = 2 * len(NODES) + 1
RAW, REDUCED = 256, 64
KEYS = RunKeys("bench", 1)

_WRITTEN = 2000
_READ = 4000
_PREPARED = 100_000
_PREPARE_LIMIT = 2 << 30
_GATE = 0.8


def measure() -> list[Figure]:
    with embedded_redis() as client:
        return [*_writes(client), *_reads(client), _prepare_memory(client)]


def _writes(client: redis.Redis) -> list[Figure]:
    raw, reduced = _vectors(_WRITTEN)
    records = [_record(i) for i in range(_WRITTEN)]
    split = {record.record_id: Split.TRAINING for record in records}
    store = TraceStore(client, KEYS)

    def chunked() -> None:
        store.write(records, split, raw, reduced, "bench", nodes=NODES)

    def naive() -> None:
        for i, record in enumerate(records):
            for column in range(2 * len(NODES)):
                fields = (record.inputs, record.outputs)[column % 2][NODES[column // 2]]
                value = {
                    "text": json.dumps(fields),
                    "raw": raw[column, i].astype(np.float16).tobytes(),
                    "reduced": reduced[column, i].astype(np.float16).tobytes(),
                }
                client.hset(f"naive:{record.record_id}:{column}", mapping=value)

    slow, quick = paired_medians(naive, chunked, rounds=5)
    client.flushdb()
    chunked()
    keys = list(client.scan_iter(f"{KEYS.prefix}*"))
    payload = sum(client.strlen(key) for key in keys)
    memory = sum(client.memory_usage(key, samples=0) or 0 for key in keys) / payload
    client.flushdb()
    return [
        Figure("trace store: chunked writes over hash writes", slow / quick, 20, True, COMMAND),
        Figure(
            "trace store: bytes a second of its writes over redis-benchmark's SET",
            _throughput(client, chunked, payload), 0.3, True, COMMAND,
        ),
        Figure("trace store: memory in Redis over the payload", memory, 1.2, False, COMMAND),
    ]  # fmt: skip


def _throughput(client: redis.Redis, write: Callable[[], None], payload: int) -> float:
    size = payload // -(-_WRITTEN // MAX_TRACES)
    ours, best = [], []
    for _ in range(2):
        best.append(set_bytes_per_second(client, size))
        for _ in range(5):
            begin = time.perf_counter()
            write()
            ours.append(payload / (time.perf_counter() - begin))
    client.flushdb()
    return statistics.median(ours) / statistics.median(best)


def _reads(client: redis.Redis) -> list[Figure]:
    records = [_record(i) for i in range(_READ)]
    split = {record.record_id: Split.TRAINING for record in records}
    TraceStore(client, KEYS).write(records, split, *_vectors(_READ), "bench", nodes=NODES)
    store = TraceStore(client, KEYS)
    store.manifest()
    reduced = _quickest(lambda: store.build_io_matrix([NODES[1]]))
    raw = _quickest(lambda: store.matrices(NODES[1]))
    client.flushdb()
    name = f"trace store: ms to read a node's inputs and outputs of {_READ} traces"
    return [
        Figure(f"{name}, reduced", reduced, 5, False, COMMAND),
        Figure(f"{name}, reduced and raw", raw, None, False, COMMAND),
    ]


def _quickest(read: Callable[[], object], rounds: int = 60) -> float:
    """Milliseconds; the quickest round, since a time alone says as much of the machine's rest."""
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        read()
        times.append(time.perf_counter() - begin)
    return 1000 * min(times)


def _prepare_memory(client: redis.Redis) -> Figure:
    command = [
        sys.executable,
        "-m",
        "bench.prepare_process",
        f"unix://{socket_of(client)}",
        str(_PREPARED),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    client.flushdb()
    return Figure(
        f"trace store: peak memory of preparing {_PREPARED} traces over the gate of 2Gi",
        int(done.stdout) / (_GATE * _PREPARE_LIMIT), 1, False, COMMAND,
    )  # fmt: skip


def _vectors(count: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(42)
    raw = generator.standard_normal((COLUMNS, count, RAW), dtype=np.float32)
    return raw, raw[:, :, :REDUCED].copy()


def _record(number: int) -> TraceRecord:
    fields = {node: {"text": f"{node} {number}"} for node in NODES}
    return TraceRecord(f"r{number}", fields, fields, {"text": str(number)})
