"""An embedding server that fails: how often it is asked again, how long, and what is told."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from cascade_operator.api.errors import ServiceUnavailable
from cascade_operator.traces.embedding_client import OllamaClient, OpenAIClient
from fakes.model_server import FakeModelServer

CLIENTS = {"ollama": OllamaClient, "openai": OpenAIClient}


@pytest.fixture(scope="module")
def running():
    with FakeModelServer() as server:
        yield server


@pytest.fixture
def server(running):
    running.recover()
    running.counts.clear()
    return running


class Sleeper:
    """Waits for nothing, and remembers how long it was to wait."""

    def __init__(self):
        self.slept = []

    def __call__(self, seconds):
        self.slept.append(seconds)


def embed(server, dialect, sleep=lambda _: None, timeout=5.0):
    client = CLIENTS[dialect](server.url, "fake", timeout, sleep=sleep)
    return client.embed(["one", "two"])


KINDS = ("refuse", "429", "500", "503", "garbage", "nonsense", "other", "error", "half")


@pytest.mark.parametrize("dialect", CLIENTS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_failure_that_passes_is_tried_again(server, dialect, kind):
    right = embed(server, dialect)
    server.fail(kind)
    assert embed(server, dialect) == right
    assert server.stats()["embeds"] == 3


@pytest.mark.parametrize("dialect", CLIENTS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_failure_that_stays_is_told_with_the_endpoint_and_a_mend(server, dialect, kind):
    server.fail(kind, -1)
    with pytest.raises(ServiceUnavailable) as caught:
        embed(server, dialect)
    assert server.url in str(caught.value)
    assert caught.value.mend
    assert server.stats()["embeds"] == (8 if kind == "429" else 3)


@pytest.mark.parametrize("dialect", CLIENTS)
@pytest.mark.parametrize("kind", ["hang", "drip"])
def test_a_server_that_keeps_one_waiting_is_left_after_the_timeout(server, dialect, kind):
    server.fail(kind, -1)
    begin = time.monotonic()
    with pytest.raises(ServiceUnavailable, match="does not answer"):
        embed(server, dialect, timeout=0.2)
    assert time.monotonic() - begin < 10
    assert server.stats()["embeds"] == 3


@pytest.mark.parametrize("dialect", CLIENTS)
def test_a_redirect_is_told_and_not_followed(server, dialect):
    server.fail("redirect", -1)
    with pytest.raises(ServiceUnavailable, match="HTTP 307") as caught:
        embed(server, dialect)
    assert "the address it moved to" in caught.value.mend
    assert server.stats()["embeds"] == 1


@pytest.mark.parametrize("dialect", CLIENTS)
@pytest.mark.parametrize(
    ("asked", "low", "high"),
    [
        pytest.param("3", 3.0, 3.0, id="seconds"),
        pytest.param("86400", 60.0, 60.0, id="a-day"),
        pytest.param("-5", 0.0, 0.0, id="negative"),
        pytest.param("soon", 0.5, 0.5, id="words"),
        pytest.param(lambda: _date(20), 15.0, 20.0, id="date"),
        pytest.param(lambda: _date(10**9), 60.0, 60.0, id="far-date"),
    ],
)
def test_a_rate_limit_is_waited_for_as_it_asks(server, dialect, asked, low, high):
    server.fail("429", retry_after=asked() if callable(asked) else asked)
    sleeper = Sleeper()
    embed(server, dialect, sleeper)
    (slept,) = sleeper.slept
    assert low <= slept <= high


def test_rate_limits_are_waited_for_four_minutes_in_all(server):
    server.fail("429", -1, retry_after="3600")
    sleeper = Sleeper()
    with pytest.raises(ServiceUnavailable, match="HTTP 429"):
        embed(server, "openai", sleeper)
    assert sleeper.slept == [60.0] * 4


def _date(seconds):
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
