"""The embedding server's process: a sentence model behind Ollama's ``/api/embed``.

``python -m cascade_operator.local.servers.embeddings_process --model FILE --tokenizer FILE ...``
"""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

from cascade_operator.local.servers.ollama_api import EmbeddingService, make_server
from cascade_operator.local.servers.sentence_model import SentenceModel
from cascade_operator.monitoring.logs import configure_logging


def main(arguments: Sequence[str] | None = None) -> None:
    """Serves until it is told to stop; writes its address once it listens."""
    options = _parse(arguments)
    configure_logging(as_json=False)
    model = SentenceModel(options.model, options.tokenizer, threads=options.threads)
    server = make_server(EmbeddingService(options.name, model), options.port)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host, port = server.server_address[:2]
    options.address.write_text(f"http://{host!s}:{port}", encoding="ascii")
    stop.wait()
    server.shutdown()
    server.server_close()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="the ONNX file")
    parser.add_argument("--tokenizer", type=Path, required=True, help="its tokenizer.json")
    parser.add_argument("--name", required=True, help="the model's name in the API")
    parser.add_argument("--address", type=Path, required=True, help="file for the address")
    parser.add_argument("--port", type=int, default=0, help="0 for any that is free")
    parser.add_argument("--threads", type=int, required=True)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
