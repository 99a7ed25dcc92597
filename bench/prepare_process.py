"""Prepares many traces as prepare does, and prints its peak memory in bytes.

``python -m bench.prepare_process URL TRACES``. The records are parsed from JSON one by one, as
a trace file's are; the embedder stands in for a server, since 500,000 texts take one hours.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import redis

import cascade_operator.worker.prepare  # noqa: F401 - what a worker has loaded counts
from cascade_operator.agents.dspy_settings import configure_dspy
from cascade_operator.api.keys import RunKeys
from cascade_operator.traces.record import Split, TraceRecord
from cascade_operator.traces.redis_packer import ViewPacker
from cascade_operator.traces.reduction import PCA
from cascade_operator.traces.run_vectors import Reduction, RunVectors
from cascade_operator.traces.split import split_records
from cascade_operator.traces.store import TraceStore

NODES = ("first", "second", "third", "fourth")
_TEXT = """the user asks for a function that computes the area of a triangle with a base and a
height and wants the forecast of the weather in metric units for the next days in this city"""
_WORDS = _TEXT.split()
_WORDS_A_TEXT = 36


class HashedVectors:
    """Unit vectors that depend on the text alone."""

    recipe, dimensions = "bench", 256

    def __init__(self) -> None:
        self._table = np.random.default_rng(0).standard_normal((4096, 256)).astype(np.float32)

    def embed(self, texts: list[str]) -> np.ndarray:
        """Returns float32 ``[len(texts), 256]``."""
        digests = (hashlib.blake2b(text.encode(), digest_size=4).digest() for text in texts)
        places = np.frombuffer(b"".join(digests), "<u2").reshape(-1, 2) % len(self._table)
        vectors = self._table[places[:, 0]] + self._table[places[:, 1]]
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / np.maximum(lengths, 1e-6)


def main(url: str, count: int) -> None:
    configure_dspy()
    records = [_record(number) for number in range(count)]
    split = split_records(records, validation_fraction=0.4, held_out_fraction=0.2, salt="42")
    vectors = RunVectors(records, NODES, HashedVectors(), Reduction(PCA, 64, 42))
    vectors.embed()
    vectors.fit()
    client = redis.Redis.from_url(url, command_packer=ViewPacker())
    store = TraceStore(client, RunKeys("prepare", 1))
    store.write_blocks(records, split, vectors.rows, "bench", nodes=NODES)
    del records, split, vectors
    store.records(Split.TRAINING)  # what proposing starts from
    print(_peak())


def _peak() -> int:
    """This program's own peak; getrusage's holds its parent's too, from before exec."""
    status = Path("/proc/self/status").read_text("ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _record(number: int) -> TraceRecord:
    """About 1.7 KB of text, as traces of function calls have; each node reads the one before."""
    texts = [
        " ".join(_WORDS[(number * 7 + node * 5 + i * (1 + number % 9)) % len(_WORDS)]
                 for i in range(_WORDS_A_TEXT))
        for node in range(len(NODES) + 1)
    ]  # fmt: skip
    fields = [f'{{"text": {json.dumps(text)}, "number": {number}}}' for text in texts]
    return TraceRecord(
        f"record-{number}",
        {node: json.loads(text) for node, text in zip(NODES, fields, strict=False)},
        {node: json.loads(text) for node, text in zip(NODES, fields[1:], strict=True)},
        json.loads(fields[-1]),
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
