"""An embedding server of ours that says how long it was busy and how many calls it had.

``python -m bench.busy_server MODEL TOKENIZER`` serves the embedded model; ``scripted`` in place of
both gives vectors that depend on the text alone, at once. It prints its URL, and answers
``GET /api/busy`` with ``{"seconds", "calls"}``: the time in which at least one call was under way.
"""

from __future__ import annotations

import sys
import threading
import time
import zlib
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np

from cascade_operator.local.servers import ollama_api
from cascade_operator.local.servers.sentence_model import SentenceModel

NAME = "bench"


class Scripted:
    """Vectors from a table, by the text's checksum."""

    max_tokens = 256

    def __init__(self) -> None:
        table = np.random.default_rng(0).standard_normal((4096, 384)).astype(np.float32)
        self._table = table / np.linalg.norm(table, axis=1, keepdims=True)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """One number a text."""
        return [[zlib.crc32(text.encode())] for text in texts]

    def embed(self, tokens: Sequence[Sequence[int]]) -> np.ndarray:
        """float32 ``[n, 384]``."""
        return self._table[[ids[0] % len(self._table) for ids in tokens]]


class _Busy:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active = 0
        self._since = 0.0
        self.seconds, self.calls = 0.0, 0

    def __enter__(self) -> None:
        with self._lock:
            self.calls += 1
            self._active += 1
            if self._active == 1:
                self._since = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._active -= 1
            if not self._active:
                self.seconds += time.perf_counter() - self._since


def main(arguments: list[str]) -> None:
    if arguments[0] == "scripted":
        model: Any = Scripted()
    else:
        model = SentenceModel(Path(arguments[0]), Path(arguments[1]), threads=1)
    server = ollama_api.make_server(ollama_api.EmbeddingService(NAME, model))
    busy = _Busy()

    class Handler(server.RequestHandlerClass):  # type: ignore[misc, name-defined]
        def do_GET(self) -> None:  # noqa: N802 - the base's name
            if self.path != "/api/busy":
                super().do_GET()
                return
            self._answer(HTTPStatus.OK, {"seconds": busy.seconds, "calls": busy.calls})

        def do_POST(self) -> None:  # noqa: N802
            with busy:
                super().do_POST()

    server.RequestHandlerClass = Handler
    print("http://{}:{}".format(*server.server_address[:2]), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
