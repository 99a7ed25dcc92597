"""A TCP proxy before the API server that a test can cut, silence and restore.

TLS passes through it: the operator sees the server's own certificate, and nothing is read here.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

_CHUNK: Final = 65536
_LOOK_SECONDS: Final = 0.05
_CONNECT_SECONDS: Final = 5.0


class _Pair:
    """A client's connection and the one to the server that belongs to it."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.last_asked = time.monotonic()

    def close(self) -> None:
        """Cuts both, as a lost network would."""
        for one in (self.client, self.server):
            with suppress(OSError):
                one.close()


class Proxy:
    """Passes connections on to a port of 127.0.0.1. Its state is set from the test's thread.

    Attributes:
        port: Where it listens.
        connections: How many it has accepted.
        cuts: How many connections were cut.
    """

    def __init__(self, target: int) -> None:
        """Listens; :meth:`run` passes on."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self.cuts = 0
        self._target = target
        self._pairs: set[_Pair] = set()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._cut_wanted = threading.Event()
        self._silent_since: float | None = None
        self._held: set[_Pair] = set()
        self._ended = threading.Event()

    def cut(self) -> None:
        """Closes every connection; new ones are passed on."""
        self._cut_wanted.set()

    def silence_watches(self) -> None:
        """Holds back what the server says on its own: a watch's events, and no answer.

        A connection on which the client asks something is passed on again: a watch asks once.
        """
        self._silent_since = time.monotonic()

    def restore(self) -> None:
        """Passes everything on, also what was held back."""
        self._silent_since = None

    def run(self) -> None:
        """Passes on until :meth:`end`."""
        while not self._ended.is_set():
            if self._cut_wanted.is_set():
                self._cut_wanted.clear()
                self._cut_all()
            if self._silent_since is None:
                for pair in list(self._held):
                    self._release(pair)
            for key, _ in self._selector.select(_LOOK_SECONDS):
                if key.data is None:
                    self._accept()
                elif key.data in self._pairs:
                    self._pass_on(key.data, key.fileobj)
        self._cut_all()
        self._selector.close()
        self._listener.close()

    def end(self) -> None:
        """Has :meth:`run` end."""
        self._ended.set()

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        self.connections += 1
        try:
            server = socket.create_connection(("127.0.0.1", self._target), _CONNECT_SECONDS)
        except OSError:
            client.close()
            return
        pair = _Pair(client, server)
        self._pairs.add(pair)
        for one in (client, server):
            self._selector.register(one, selectors.EVENT_READ, pair)

    def _pass_on(self, pair: _Pair, ready: object) -> None:
        silent = self._silent_since
        asks = ready is pair.client
        if not asks and silent is not None and pair.last_asked < silent:
            # Unread, or the selector would name it again and again.
            self._selector.unregister(pair.server)
            self._held.add(pair)
            return
        try:
            data = (pair.client if asks else pair.server).recv(_CHUNK)
            if data:
                (pair.server if asks else pair.client).sendall(data)
        except OSError:
            data = b""
        if not data:
            self._drop(pair)
        elif asks:
            pair.last_asked = time.monotonic()
            self._release(pair)

    def _release(self, pair: _Pair) -> None:
        if pair in self._held:
            self._held.discard(pair)
            self._selector.register(pair.server, selectors.EVENT_READ, pair)

    def _drop(self, pair: _Pair) -> None:
        for one in (pair.client, pair.server):
            with suppress(KeyError, ValueError):
                self._selector.unregister(one)
        pair.close()
        self._pairs.discard(pair)
        self._held.discard(pair)

    def _cut_all(self) -> None:
        for pair in list(self._pairs):
            self.cuts += 1
            self._drop(pair)


@contextmanager
def proxied(target: int) -> Iterator[Proxy]:
    """A proxy before a port while the block lasts."""
    proxy = Proxy(target)
    thread = threading.Thread(target=proxy.run, name="proxy", daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.end()
        thread.join(timeout=60)
