"""A proxy that notes when requests were in flight at the server behind it."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

Span = tuple[float, float]
"""When a request arrived and when its answer had been sent, on the monotonic clock."""


@contextmanager
def counting_proxy(target: Callable[[], str]) -> Iterator[tuple[str, list[Span]]]:
    """Serves within the block.

    Args:
        target: Gives the URL of the server behind; asked when a connection is first used.

    Yields:
        The proxy's URL, and the spans of all requests so far, in the order in which they ended.
    """
    spans: list[Span] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        behind: http.client.HTTPConnection | None = None

        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            begin = time.monotonic()
            if self.behind is None:
                self.behind = http.client.HTTPConnection(urlsplit(target()).netloc, timeout=600)
            self.behind.request("POST", self.path, body, {"Content-Type": "application/json"})
            answer = self.behind.getresponse()
            data = answer.read()
            spans.append((begin, time.monotonic()))
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", spans
    finally:
        server.shutdown()
        server.server_close()


def idle_gaps(spans: Sequence[Span]) -> list[Span]:
    """Returns the times between first and last request in which none was in flight."""
    gaps: list[Span] = []
    latest: float | None = None
    for begin, end in sorted(spans):
        if latest is not None and begin > latest:
            gaps.append((latest, begin))
        latest = end if latest is None else max(latest, end)
    return gaps
