from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager

import httpx
import numpy as np
import pytest

from cascade_operator.local.servers.ollama_api import (
    EmbeddingService,
    RefusedRequestError,
    make_server,
)


class CountingModel:
    """A model whose vector of a text is made of its number of words."""

    max_tokens = 4

    def tokens(self, texts):
        return [list(range(len(text.split()))) for text in texts]

    def embed(self, tokens):
        rows = np.array([[3.0, 4.0 * len(ids), 12.0] for ids in tokens], dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


SERVICE = EmbeddingService("mini:1", CountingModel())


def _ask(**fields):
    return SERVICE.embed(json.dumps({"model": "mini:1", "input": "one two"} | fields).encode())


@pytest.mark.parametrize(
    ("given", "count"),
    [("one two", 1), (["one", "two words", ""], 3), ([], 0)],
    ids=["text", "list", "empty-list"],
)
def test_each_text_gets_a_vector(given, count):
    model = SERVICE if count else EmbeddingService("mini:1", _EmptyModel())
    body = json.dumps({"model": "mini:1", "input": given}).encode()
    answer = model.embed(body)
    assert len(answer["embeddings"]) == count
    assert answer["model"] == "mini:1"


class _EmptyModel(CountingModel):
    def embed(self, tokens):
        assert not tokens
        return np.zeros((0, 3), dtype=np.float32)


@pytest.mark.parametrize("dimensions", [0, 1, 2, 3, 9])
def test_vectors_are_cut_and_scaled_back_to_length_one(dimensions):
    vector = _ask(dimensions=dimensions)["embeddings"][0]
    assert len(vector) == (dimensions if 0 < dimensions < 3 else 3)
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-6)


def test_a_cut_keeps_the_first_dimensions():
    whole, cut = _ask()["embeddings"][0], _ask(dimensions=2)["embeddings"][0]
    assert cut[0] / cut[1] == pytest.approx(whole[0] / whole[1])


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"model": "other"}, 404, 'model "other" not found'),
        ({"input": 3}, 400, "input"),
        ({"input": ["x"] * 2049}, 400, "2048"),
        ({"dimensions": -1}, 400, "dimensions"),
        (
            {"input": ["short", "a b c d e"], "truncate": False},
            400,
            "the input length exceeds the context length",
        ),
    ],
    ids=["model", "input-type", "too-many", "dimensions", "too-long"],
)
def test_bad_requests_are_refused_in_ollamas_words(fields, status, message):
    with pytest.raises(RefusedRequestError, match=message) as caught:
        _ask(**fields)
    assert caught.value.status == status


@pytest.mark.parametrize("fields", [{"truncate": True}, {}], ids=["asked", "by-default"])
def test_a_long_text_is_cut_unless_forbidden(fields):
    assert _ask(input="a b c d e f", **fields)["prompt_eval_count"] == 4


def test_options_that_change_no_vector_are_ignored():
    assert _ask(keep_alive="5m", options={"num_ctx": 512}) == _ask()


@contextmanager
def _served():
    server = make_server(SERVICE)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    host, port = server.server_address[:2]
    try:
        with httpx.Client(base_url=f"http://{host}:{port}", trust_env=False) as client:
            yield client
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_api_over_http():
    with _served() as client:
        assert client.get("/api/tags").json()["models"][0]["name"] == "mini:1"
        assert "version" in client.get("/api/version").json()
        answer = client.post("/api/embed", json={"model": "mini:1", "input": ["a", "b c"]})
        assert answer.status_code == 200
        assert np.array(answer.json()["embeddings"]).shape == (2, 3)
        assert client.get("/api/ps").status_code == 404
        assert client.post("/api/chat", json={}).status_code == 404
        refused = client.post("/api/embed", json={"model": "x", "input": "a"})
        assert refused.status_code == 404
        assert "not found" in refused.json()["error"]
        assert client.get("/api/tags").status_code == 200


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Content-Length: 99999999", 413),
        (f"Content-Length: {'9' * 4000}", 413),
        ("Content-Length: -5", 411),
        ("Content-Length: \u0665".encode().decode("latin-1"), 411),
        ("Transfer-Encoding: chunked", 411),
    ],
    ids=["large", "absurd", "negative", "not-ascii", "chunked"],
)
def test_a_body_is_bounded_before_it_is_read(header, status):
    request = f"POST /api/embed HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n".encode("latin-1")
    with _served() as client:
        place = (client.base_url.host, client.base_url.port)
        with socket.create_connection(place, timeout=5) as connection:
            connection.sendall(request)
            # The server closes by itself: what it refused to read is not taken for a request.
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Connection: close" in answer
