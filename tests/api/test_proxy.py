"""The proxy before the API server: what a cut and a silence are."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from api.proxy import Proxy, proxied
from api.rest import wait_for


class _Server:
    """Answers each line with itself, and says to all what a test says."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.clients: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        # Whoever waits in accept would hold it open.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def tell(self, words: bytes) -> None:
        for client in self.clients:
            client.sendall(words)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.clients.append(client)
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        while data := client.recv(1000):
            client.sendall(data)


@pytest.fixture
def server() -> Iterator[_Server]:
    made = _Server()
    yield made
    with suppress(OSError):
        made.close()


@pytest.fixture
def proxy(server: _Server) -> Iterator[Proxy]:
    with proxied(server.listener.getsockname()[1]) as made:
        yield made


def _connect(proxy: Proxy) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", proxy.port), 10)
    assert _ask(client, b"are you there") == b"are you there"
    return client


def _ask(client: socket.socket, words: bytes) -> bytes:
    client.sendall(words)
    return client.recv(1000)


def test_a_cut_ends_every_connection_and_new_ones_are_passed_on(proxy: Proxy):
    clients = [_connect(proxy) for _ in range(3)]
    proxy.cut()
    assert [client.recv(1000) for client in clients] == [b""] * 3
    assert proxy.cuts == 3
    _connect(proxy)
    assert proxy.connections == 4


def test_silence_holds_back_what_is_told_and_answers_what_is_asked(proxy: Proxy, server: _Server):
    watching = _connect(proxy)
    proxy.silence_watches()
    asking = _connect(proxy)
    server.tell(b"news")
    assert asking.recv(1000) == b"news", "a connection that has asked since is passed on"
    watching.settimeout(0.5)
    with pytest.raises(TimeoutError):
        watching.recv(1000)
    proxy.restore()
    watching.settimeout(10)
    assert watching.recv(1000) == b"news"


def test_who_asks_during_a_silence_is_answered(proxy: Proxy, server: _Server):
    client = _connect(proxy)
    proxy.silence_watches()
    server.tell(b"news ")
    found = _ask(client, b"what")
    wait_for("both", lambda: found == b"news what" or client.recv(1000) == b"what")


def test_a_server_that_is_away_refuses(proxy: Proxy, server: _Server):
    server.close()
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as client:
        assert client.recv(1000) == b""
