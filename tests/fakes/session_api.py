"""A small API server of TrainingSessions over HTTP: what the cluster commands ask, and no more.

Its faults are those that a command must bear: a kind that is not installed, a refusal, a watch that
is cut or too old. ``tests/api`` has the real server.
"""

from __future__ import annotations

import json
import queue
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fakes.kubeconfig import write_kubeconfig

GROUP = "/apis/cascade-operator.dev/v1alpha1"


@dataclass
class SessionApi:
    """Serves between ``with`` and its end.

    Attributes:
        sessions: By namespace and name.
        events: All of them.
        installed: Whether the kind is known.
        refused: Paths' last parts that answer 403.
        unauthorized: Whether every request is answered with 401.
        page: Sessions in an answer, at most.
        requests: Method and path of each request, with its query.
        bodies: What was sent with each PATCH.
        watches: Of each watch that was opened, its resource version.
    """

    sessions: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    installed: bool = True
    refused: set[str] = field(default_factory=set)
    unauthorized: bool = False
    page: int = 500
    requests: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    watches: queue.Queue[str] = field(default_factory=queue.Queue)
    lists: queue.Queue[None] = field(default_factory=queue.Queue)
    version: int = 100
    _sent: queue.Queue[bytes | None] = field(default_factory=queue.Queue)

    def __enter__(self) -> SessionApi:
        owner = self

        class Handler(_Handler):
            api = owner

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._sent.put(None)
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def kubeconfig(self, folder: Path, namespace: str = "team") -> Path:
        """Writes a kubeconfig that leads here."""
        file = folder / "kubeconfig.yaml"
        return write_kubeconfig(file, self.url, {"token": "abc"}, namespace=namespace)

    def put(self, raw: dict[str, Any], kind: str = "MODIFIED", *, told: bool = True) -> None:
        """Has a session as it is now, and tells the watch of it."""
        self.version += 1
        raw["metadata"]["resourceVersion"] = str(self.version)
        key = (raw["metadata"]["namespace"], raw["metadata"]["name"])
        if kind == "DELETED":
            self.sessions.pop(key, None)
        else:
            self.sessions[key] = raw
        if told:
            self.send({"type": kind, "object": raw})

    def send(self, event: dict[str, Any]) -> None:
        """Sends one event to the watch."""
        self._sent.put(json.dumps(event).encode() + b"\n")

    def cut(self) -> None:
        """Ends the watch, as a server does at its timeout."""
        self._sent.put(None)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: SessionApi

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        path, query = self._begin()
        if path is None:
            return
        if path.startswith("/api/v1/namespaces/") and path.endswith("/events"):
            self._answer(200, {"kind": "EventList", "items": self.api.events})
        elif "watch" in query:
            self._watch(query["resourceVersion"])
        elif path.endswith("/trainingsessions"):
            self._list(path, query)
        else:
            self._one(path)

    def do_PATCH(self) -> None:
        path, _ = self._begin()
        if path is None:
            return
        change = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.api.bodies.append((self.headers["Content-Type"], change))
        found = self.api.sessions.get(self._key(path))
        if found is None:
            self._one(path)
            return
        metadata = change.get("metadata", {}).get("annotations", {})
        found["metadata"].setdefault("annotations", {}).update(metadata)
        found["spec"].update(change.get("spec", {}))
        self._answer(200, found)

    def _begin(self) -> tuple[str | None, dict[str, str]]:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.api.requests.append(f"{self.command} {self.path}")
        last = parts.path.rsplit("/", 1)[-1]
        if self.api.unauthorized:
            self._status(401, "Unauthorized", "Unauthorized")
        elif last in self.api.refused:
            message = f'{last} is forbidden: User "eve" cannot list resource'
            self._status(403, "Forbidden", message)
        elif parts.path.startswith(GROUP) and not self.api.installed:
            self._status(404, "NotFound", "the server could not find the requested resource")
        else:
            return parts.path, query
        return None, query

    def _list(self, path: str, query: dict[str, str]) -> None:
        namespace = path.split("/")[5] if "/namespaces/" in path else None
        wanted = query.get("fieldSelector", "").removeprefix("metadata.name=")
        items = [
            raw
            for (home, name), raw in sorted(self.api.sessions.items())
            if namespace in (None, home) and wanted in ("", name)
        ]
        first = int(query.get("continue", "0"))
        page = items[first : first + self.api.page]
        metadata = {"resourceVersion": str(self.api.version)}
        if first + len(page) < len(items):
            metadata["continue"] = str(first + len(page))
        body = {"kind": "TrainingSessionList", "metadata": metadata, "items": page}
        self._answer(200, body)
        self.api.lists.put(None)

    def _watch(self, version: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.api.watches.put(version)
        with suppress(OSError):
            while (line := self.api._sent.get()) is not None:
                # Cut in two, as a network may.
                for piece in (line[:10], line[10:]):
                    self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                    self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")

    def _one(self, path: str) -> None:
        key = self._key(path)
        if key in self.api.sessions:
            self._answer(200, self.api.sessions[key])
        else:
            words = f'trainingsessions.cascade-operator.dev "{key[1]}" not found'
            self._status(404, "NotFound", words)

    @staticmethod
    def _key(path: str) -> tuple[str, str]:
        parts = path.split("/")
        return parts[5], parts[7]

    def _status(self, code: int, reason: str, message: str) -> None:
        self._answer(
            code,
            {"kind": "Status", "status": "Failure", "reason": reason, "message": message},
        )

    def _answer(self, code: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
