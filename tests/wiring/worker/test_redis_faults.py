"""Redis as it fails: what a Job says, and that the next attempt ends as if nothing had been."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import tempfile
import threading
import time
from pathlib import Path

import pytest
import redis

from cascade_operator.api.errors import ServiceUnavailable
from cascade_operator.api.keys import cache_key
from cascade_operator.training.checkpoint import TTL_SECONDS, RedisCheckpoints
from cascade_operator.worker.context import connect
from fakes.ticket_workers import TicketWorkers, group_arguments
from fakes.valkey import start_valkey

GROUP = group_arguments("00")


@pytest.fixture
def own(reference, server, tmp_path):
    """A prepared run in a Redis of its own, which a test may spoil."""
    with (
        tempfile.TemporaryDirectory(prefix="vk") as folder,
        start_valkey(Path(folder), "--maxmemory-policy", "noeviction") as path,
    ):
        workers = TicketWorkers.at(tmp_path, path, server.url)
        workers.load(reference.prepared)
        yield workers
        with contextlib.suppress(redis.RedisError):
            workers.client.config_set("maxmemory", 0)


def _full(client):
    client.config_set("maxmemory", 1)


def _roomy(client):
    client.config_set("maxmemory", 0)


def _replica(client):
    client.replicaof("127.0.0.1", 9)


def _primary(client):
    client.replicaof("NO", "ONE")


def _locked(client):
    client.config_set("requirepass", "geheim")


def _open(client):
    client.execute_command("AUTH", "geheim")
    client.config_set("requirepass", "")


SPOILT = {
    "full": (_full, _roomy, "used memory", "maxmemory"),
    "replica": (_replica, _primary, "read only replica", "Name the primary"),
    "password": (_locked, _open, "authenticated", "passwordSecretRef"),
}


@pytest.mark.parametrize(("spoil", "mend", "said", "told"), SPOILT.values(), ids=SPOILT)
def test_a_redis_that_refuses_ends_the_attempt(own, reference, spoil, mend, said, told):
    spoil(own.client)
    with pytest.raises(ServiceUnavailable, match=said) as caught:
        own.inside(*GROUP)
    assert told in caught.value.mend
    mend(own.client)
    _assert_ends_as_undisturbed(own, reference)


def at_first_chat(act):
    """Does something in the middle of a search; to be held back by nothing."""
    done = []

    def wanted(request):
        if "chat" in request.path and not done:
            done.append(request)
            act()
        return False

    return wanted


def test_a_redis_that_fills_up_in_a_search_keeps_what_it_has(own, reference, server):
    with (
        server.hold(at_first_chat(lambda: own.client.config_set("maxmemory", 1))),
        pytest.raises(ServiceUnavailable, match="used memory"),
    ):
        own.inside(*GROUP)
    own.client.config_set("maxmemory", 0)
    _assert_ends_as_undisturbed(own, reference)


def test_a_full_redis_drops_the_cache_before_the_runs_data(redis_socket):
    with redis.Redis(unix_socket_path=redis_socket) as client:
        client.flushall()
        client.config_set("maxmemory-policy", "volatile-ttl")
        try:
            for number in range(600):
                client.set(cache_key("ns", f"{number:04d}"), os.urandom(4096), ex=24 * 3600)
            kept = {f"cascade:{{u}}:1:chunk:text:{n}": os.urandom(1000) for n in range(100)}
            for key, value in kept.items():
                client.set(key, value, ex=TTL_SECONDS)
            client.config_set("maxmemory", client.info("memory")["used_memory"])
            checkpoints = RedisCheckpoints(client, "cascade:{u}:1:checkpoint:00")
            for number in range(40):
                checkpoints.save({"trial": number, "text": "x" * 20_000})
            assert {key: client.get(key) for key in kept} == kept
            assert checkpoints.load()["trial"] == 39
            left = sum(1 for _ in client.scan_iter("cascade:cache:*", count=1000))
            assert 0 < left < 600
        finally:
            client.config_set("maxmemory", 0)
            client.config_set("maxmemory-policy", "noeviction")
            client.flushall()


@pytest.fixture
def stand_still(own):
    """Stops Redis for so many seconds; for good, until the test's end, where none are named."""
    pid = own.client.info("server")["process_id"]
    timers = []

    def stop(seconds=None):
        os.kill(pid, signal.SIGSTOP)
        if seconds is not None:
            timers.append(threading.Timer(seconds, os.kill, (pid, signal.SIGCONT)))
            timers[-1].start()

    yield stop
    for timer in timers:
        timer.join()
    os.kill(pid, signal.SIGCONT)


def test_a_redis_that_stands_still_is_waited_for(own, reference, server, stand_still):
    with server.hold(at_first_chat(lambda: stand_still(1.0))):
        own.inside(*GROUP)
    _assert_is_undisturbed(own, reference)


def test_a_redis_that_stands_still_for_too_long_ends_the_attempt(
    own, reference, server, stand_still
):
    url = own.url
    own.url = f"{url}?socket_timeout=0.5"
    with (
        server.hold(at_first_chat(lambda: stand_still(3.0))),
        pytest.raises(ServiceUnavailable, match="Timeout") as caught,
    ):
        own.inside(*GROUP)
    assert "Check that it runs" in caught.value.mend
    own.url = url
    # Leases it could not give back expire within 30 s, in which the planner pauses.
    until_redis_answers(own.client)
    for lease in own.client.scan_iter("cascade:cache:*:lease"):
        own.client.delete(lease)
    _assert_ends_as_undisturbed(own, reference)


def until_redis_answers(client):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(redis.RedisError):
            client.ping()
            return
    raise AssertionError("Redis stands still")


@pytest.mark.parametrize(
    ("banner", "said", "told"),
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", "Protocol error", "no Redis", id="http"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", "Protocol error", "no Redis", id="ssh"),
        pytest.param(b"", "does not answer", "Check that it runs", id="hangs-up"),
        pytest.param(None, "Timeout", "Check that it runs", id="says-nothing"),
    ],
)
def test_a_server_that_is_no_redis_is_told(banner, said, told):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        over = threading.Event()

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(1000)
                        if banner is None:
                            over.wait(30)
                        else:
                            connection.sendall(banner)

        threading.Thread(target=serve, daemon=True).start()
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}?socket_timeout=0.3"
        with pytest.raises(ServiceUnavailable, match=said) as caught:
            connect({"CASCADE_REDIS_URL": url})
        over.set()
    assert told in caught.value.mend


def _assert_ends_as_undisturbed(own, reference):
    own.inside(*GROUP)
    _assert_is_undisturbed(own, reference)


def _assert_is_undisturbed(own, reference):
    ended = [own.trials("00"), own.outcome("00")]
    own.load(reference.trained)
    assert ended == [own.trials("00"), own.outcome("00")]
