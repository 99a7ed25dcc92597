"""An API server that answers as a test says, one answer a request."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from fakes.kubeconfig import write_kubeconfig

CUT: Any = object()
"""Instead of an answer: the connection is closed."""


@dataclass
class Answer:
    """One answer.

    Attributes:
        body: JSON, raw bytes, or ``CUT``.
        status: The HTTP status.
        headers: Further ones.
    """

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def refusal(status: int, reason: str = "", **headers: str) -> Answer:
    """A ``Status`` object."""
    return Answer({"kind": "Status", "reason": reason, "message": reason}, status, headers)


@dataclass
class ScriptedApi:
    """Serves between ``with`` and its end.

    Attributes:
        answers: What is answered next, by the start of the path; else by ``""``.
        requests: What was asked: method, path with query, headers by
            their names in small letters, body.
    """

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    requests: list[tuple[str, str, Mapping[str, str], Any]] = field(default_factory=list)

    def __enter__(self) -> ScriptedApi:
        owner = self

        class Handler(_Handler):
            api = owner

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def paths(self) -> list[str]:
        """Method and path of each request, without its query."""
        return [f"{method} {path.partition('?')[0]}" for method, path, _, _ in self.requests]

    def kubeconfig(self, folder: Path, *, token: str = "abc", namespace: str = "team") -> Path:
        """Writes a kubeconfig that leads here."""
        file = folder / "kubeconfig.yaml"
        return write_kubeconfig(file, self.url, {"token": token}, namespace=namespace)

    def next_answer(self, path: str) -> Answer:
        """The answer to a request."""
        for start in sorted(self.answers, key=len, reverse=True):
            if path.startswith(start) and self.answers[start]:
                left = self.answers[start]
                return left.pop(0) if len(left) > 1 else left[0]
        return refusal(404, "NotFound")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: ScriptedApi

    def log_message(self, *args: object) -> None:
        pass

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.api.requests.append((self.command, self.path, headers, body))
        answer = self.api.next_answer(self.path)
        if answer.body is CUT:
            self.close_connection = True
            return
        raw = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815
