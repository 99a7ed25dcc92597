from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time

import httpx
import numpy as np
import pytest
import redis

from cascade_operator.local.orphans import ProcessIdentity
from cascade_operator.local.servers.chat import CHAT_MODEL, start_chat
from cascade_operator.local.servers.embeddings import EMBEDDING_MODEL, start_embeddings
from cascade_operator.local.servers.valkey import start_valkey

pytestmark = pytest.mark.process


def _valkey(tmp_path, name="redis"):
    return start_valkey(tmp_path / name, log=tmp_path / "redis.log", max_memory=64 * 1024**2)


@contextlib.contextmanager
def _client(url):
    client = redis.Redis.from_url(url)
    try:
        yield client
    finally:
        client.close()


@pytest.mark.parametrize("name", ["redis", "a b%20?#", "x" * 120], ids=["plain", "odd", "long"])
def test_redis_serves_on_a_socket_whatever_the_folder_is_called(tmp_path, name):
    async def run():
        server = await _valkey(tmp_path, name)
        try:
            with _client(server.url) as client:
                assert client.set("key", b"value")
                policy = client.config_get("maxmemory*")
                assert client.config_get("port") == {"port": "0"}
            return policy, server.environment
        finally:
            await server.stop()

    policy, environment = asyncio.run(run())
    assert policy["maxmemory-policy"] == "volatile-ttl"
    assert policy["maxmemory"] == str(64 * 1024**2)
    assert environment["CASCADE_REDIS_URL"].startswith("unix:///")


@pytest.mark.parametrize("order", ["stopped", "killed"])
def test_redis_finds_its_data_again(tmp_path, order):
    async def run():
        first = await _valkey(tmp_path)
        with _client(first.url) as client:
            client.set("checkpoint", b"\x00\xff" * 1000)
            client.set("cache", b"x", ex=3600)
        if order == "killed":
            await first.process.stop(0)
        else:
            await first.stop()
        second = await _valkey(tmp_path)
        try:
            with _client(second.url) as client:
                return client.get("checkpoint"), client.ttl("cache")
        finally:
            await second.stop()

    checkpoint, ttl = asyncio.run(run())
    assert checkpoint == b"\x00\xff" * 1000
    assert 3000 < ttl <= 3600


def test_embeddings_follow_ollamas_contract(tmp_path):
    async def run():
        server = await start_embeddings(tmp_path, log=tmp_path / "log", threads=1)
        try:
            return await asyncio.to_thread(_embed, server.url)
        finally:
            await server.stop()

    vectors, short, refused = asyncio.run(run())
    assert vectors.shape == (3, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    weather, forecast, invoice = vectors
    assert weather @ forecast > weather @ invoice + 0.2
    expected = weather[:256] / np.linalg.norm(weather[:256])
    np.testing.assert_allclose(short[0], expected, atol=1e-5)
    assert refused.status_code == 400
    assert refused.json() == {"error": "the input length exceeds the context length"}


def _embed(url):
    texts = ["What is the weather in Paris?", "Forecast for Paris, please", "Pay the invoice"]
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:

        def ask(**fields):
            return client.post("/api/embed", json={"model": EMBEDDING_MODEL} | fields)

        whole = ask(input=texts).json()["embeddings"]
        short = ask(input=texts[0], dimensions=256).json()["embeddings"]
        refused = ask(input="word " * 300, truncate=False)
        assert ask(input="word " * 300).status_code == 200
    return np.array(whole), np.array(short), refused


@pytest.mark.model
def test_the_embedded_model_answers_in_a_schema(tmp_path):
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}},
        "required": ["city"],
        "additionalProperties": False,
    }
    body = {
        "model": CHAT_MODEL,
        "messages": [{"role": "user", "content": "Name the capital of France."}],
        "temperature": 0,
        "max_tokens": 40,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": schema},
        },
    }

    async def run():
        server = await start_chat(tmp_path, log=tmp_path / "log")
        try:
            return await asyncio.to_thread(_post, f"{server.url}/v1/chat/completions", body)
        finally:
            await server.stop()

    answer = asyncio.run(run())
    content = httpx.Response(200, text=answer["choices"][0]["message"]["content"]).json()
    assert list(content) == ["city"]
    assert answer["usage"]["completion_tokens"] > 0


def _post(url, body):
    return httpx.post(url, json=body, timeout=60, trust_env=False).raise_for_status().json()


OWNER = """
import asyncio, sys
from pathlib import Path
from cascade_operator.local.servers.{module} import {start}

async def main():
    folder = Path(sys.argv[1])
    server = await {start}(folder, log=folder / "log")
    print(server.process.pid, server.url, flush=True)
    await server.process.wait()

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("module", "start"),
    [
        ("valkey", "start_valkey"),
        ("embeddings", "start_embeddings"),
        pytest.param("chat", "start_chat", marks=pytest.mark.model),
    ],
)
def test_a_server_is_gone_after_its_owner_was_killed(tmp_path, module, start):
    code = OWNER.format(module=module, start=start)
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        pid, url = owner.stdout.readline().split()
        assert ProcessIdentity.of(int(pid)) is not None
        assert _reachable(url)
        owner.kill()
        owner.wait()
    deadline = time.monotonic() + 10
    while ProcessIdentity.of(int(pid)) is not None:
        assert time.monotonic() < deadline, f"{module} outlives its owner"
        time.sleep(0.02)
    assert not _reachable(url)


def _reachable(url):
    if url.startswith("unix:"):
        with _client(url) as client:
            try:
                return client.ping()
            except redis.RedisError:
                return False
    try:
        httpx.get(url, timeout=2, trust_env=False)
    except httpx.TransportError:
        return False
    return True
