"""Kueue as Jobs see it: its webhook suspends what is queued; a test admits and preempts."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from api.certificates import KeyPair
from api.control_plane import ControlPlane
from api.rest import Rest
from cascade_operator.control.manifests.labels import QUEUE

_HOOKS: Final = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
_NAME: Final = "queue.testbed.cascade-operator.dev"


@dataclass(frozen=True)
class JobQueue:
    """A queue of Jobs, which lets none of them go by itself.

    Attributes:
        rest: Requests as the administrator.
    """

    rest: Rest

    def admit(self, job: dict[str, Any]) -> None:
        """Lets a Job go."""
        self._suspend(job, on=False)

    def preempt(self, job: dict[str, Any]) -> None:
        """Takes a Job's place away: its pods go, and it is queued again."""
        self._suspend(job, on=True)

    def _suspend(self, job: dict[str, Any], *, on: bool) -> None:
        metadata = job["metadata"]
        path = f"/apis/batch/v1/namespaces/{metadata['namespace']}/jobs/{metadata['name']}"
        self.rest.merge(path, {"spec": {"suspend": on}})


@contextmanager
def queueing(plane: ControlPlane) -> Iterator[JobQueue]:
    """Suspends every Job that is made with a queue's label, while the block lasts."""
    rest = plane.rest
    with _webhook(plane.serving) as port:
        rest.create(_HOOKS, _configuration(port, plane.authority_pem))
        try:
            yield JobQueue(rest)
        finally:
            rest.delete(f"{_HOOKS}/{_NAME}")


def _configuration(port: int, authority: bytes) -> dict[str, Any]:
    jobs = {"apiGroups": ["batch"], "apiVersions": ["v1"], "resources": ["jobs"]}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": _NAME},
        "webhooks": [
            {
                "name": _NAME,
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": "Fail",
                "rules": [{**jobs, "operations": ["CREATE"]}],
                "objectSelector": {"matchExpressions": [{"key": QUEUE, "operator": "Exists"}]},
                "clientConfig": {
                    "url": f"https://127.0.0.1:{port}/suspend",
                    "caBundle": base64.b64encode(authority).decode(),
                },
            }
        ],
    }


class _Suspends(BaseHTTPRequestHandler):
    """Answers an AdmissionReview: this Job begins suspended."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answers one."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        patch = json.dumps([{"op": "add", "path": "/spec/suspend", "value": True}]).encode()
        answer = {
            "uid": asked["request"]["uid"],
            "allowed": True,
            "patchType": "JSONPatch",
            "patch": base64.b64encode(patch).decode(),
        }
        body = json.dumps({**asked, "request": None, "response": answer}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Says nothing."""


@contextmanager
def _webhook(pair: KeyPair) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Suspends)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
