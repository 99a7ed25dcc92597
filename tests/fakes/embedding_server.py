"""An embedding server for tests: Ollama's /api/embed and OpenAI's /v1/embeddings over HTTP.

Vectors are a pure function of the text. What goes wrong is set on the object before the call.
"""

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np


def vector_of(text: str, width: int) -> list[float]:
    """The vector that the server gives for a text, of length 1."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    vector = np.random.default_rng(seed).standard_normal(width)
    return (vector / np.linalg.norm(vector)).tolist()


@dataclass
class EmbeddingServer:
    """Start it with ``with``; the URL is then in ``url``."""

    width: int = 768
    longest: int = 1_000_000  # characters; longer ones are refused with 400
    models: tuple[str, ...] = ("nomic-embed-text:v1.5", "all-minilm")
    fail_status: list[int] = field(default_factory=list)  # statuses of the next requests
    spoil: str = ""  # nan | zero | few | text | huge | notjson
    widths: list[int] = field(default_factory=list)  # widths of the next answers
    shuffle: bool = False
    batches: list[list[str]] = field(default_factory=list)
    headers: list[dict] = field(default_factory=list)
    url: str = ""

    def __enter__(self) -> "EmbeddingServer":
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one packet, else each answer waits for an ACK

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, answer = owner.answer(self.path, body, dict(self.headers))
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *exc) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, body: dict, headers: dict) -> tuple[int, object]:
        texts = body["input"]
        self.batches.append(texts)
        self.headers.append(headers)
        if self.fail_status:
            return self.fail_status.pop(0), {"error": "told to fail"}
        if body["model"] not in self.models:
            return 404, {"error": f"model '{body['model']}' not found"}
        if any(len(text) > self.longest for text in texts):
            return 400, {"error": "the input length exceeds the context length"}
        width = self.widths.pop(0) if self.widths else self.width
        vectors = [vector_of(text, width) for text in texts]
        if self.spoil == "nan":
            vectors[-1][0] = float("nan")
        elif self.spoil == "zero":
            vectors[-1] = [0.0] * self.width
        elif self.spoil == "few":
            vectors.pop()
        elif self.spoil == "huge":
            vectors[-1][0] = 10**400
        elif self.spoil == "text":
            vectors[-1] = "no vector"
        elif self.spoil == "notjson":
            return 200, b"<html>a proxy's greeting</html>"
        if path == "/api/embed":
            assert body["truncate"] is False
            return 200, {"model": body["model"], "embeddings": vectors}
        assert path == "/v1/embeddings", path
        rows = [{"index": place, "embedding": vector} for place, vector in enumerate(vectors)]
        return 200, {"object": "list", "data": rows[::-1] if self.shuffle else rows}
