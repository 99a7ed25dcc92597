"""What a Job is told, and what it says when it is told nonsense."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import redis

from cascade_operator.api.errors import ServiceUnavailable, SpecError
from cascade_operator.worker.context import CONFIG_LIMIT, connect, eviction_note, read_context
from cascade_operator.worker.stop import StopSignal
from fakes.valkey import start_valkey
from fakes.worker_jobs import job_context, job_environment, run_config


@pytest.fixture
def url(redis_client, valkey_socket):
    return f"unix://{valkey_socket}"


def test_a_job_finds_all_it_is_told(tmp_path, valkey_socket, redis_client):
    named = {"CASCADE_TRACES_FILE": "/data/t.jsonl", "CASCADE_MEMORY_LIMIT": str(1 << 30)}
    config = run_config(memory={"thresholdPercent": 55})
    context = job_context(tmp_path, valkey_socket, config, **named)
    assert context.config == config
    assert context.keys.prefix == "cascade:{u-1}:3:"
    assert context.redis.ping()
    assert context.traces_file == Path("/data/t.jsonl")
    folders = (context.traces, context.archives, context.scratch)
    assert folders == tuple(tmp_path / name for name in ("traces", "archives", "scratch"))
    assert context.termination_log == tmp_path / "termination-log"
    assert context.memory.sample().limit == 1 << 30


def test_without_a_limit_the_gate_reads_the_machines(tmp_path, valkey_socket, redis_client):
    context = job_context(tmp_path, valkey_socket)
    assert context.traces_file is None
    assert context.memory.sample().limit > 1 << 28


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read: No such file"),
        (b"", "is invalid"),
        (b"{", "is invalid"),
        (b'{"version": 1}', "is invalid at namespace: Field required"),
        (b'\xff{"version": 1}', "is invalid"),
        (b" " * (CONFIG_LIMIT + 1), "is larger than"),
    ],
    ids=["missing", "empty", "cut", "fields", "bytes", "large"],
)
def test_a_bad_configuration_is_no_surprise(tmp_path, url, text, words):
    env = job_environment(tmp_path, url)
    file = Path(env["CASCADE_CONFIG"])
    file.unlink()
    if text is not None:
        file.write_bytes(text)
    with pytest.raises(SpecError, match=words) as caught:
        read_context(env, StopSignal())
    assert caught.value.mend


def test_a_configuration_of_another_version_is_refused(tmp_path, url):
    env = job_environment(tmp_path, url)
    file = Path(env["CASCADE_CONFIG"])
    file.write_text(file.read_text().replace('"version":1', '"version":2'))
    with pytest.raises(SpecError, match="invalid at version"):
        read_context(env, StopSignal())


@pytest.mark.parametrize(
    ("address", "kind", "words"),
    [
        ("unix:///nonexistent.sock", ServiceUnavailable, "does not answer"),
        ("redis://:geheim@127.0.0.1:1/0", ServiceUnavailable, "127.0.0.1:1/0 does not answer"),
        ("127.0.0.1:6379", SpecError, "is no address of a Redis"),
        ("redis://:geheim@host:port", SpecError, "is no address of a Redis"),
    ],
    ids=["socket", "port", "no-scheme", "bad-port"],
)
def test_a_redis_that_is_not_there_is_named_without_its_password(address, kind, words):
    with pytest.raises(kind, match=words) as caught:
        connect({"CASCADE_REDIS_URL": address})
    said = f"{caught.value} {caught.value.mend}"
    assert "geheim" not in said
    assert "spec.redis" in said


@pytest.fixture(scope="module")
def guarded():
    """A server with a password."""
    with (
        tempfile.TemporaryDirectory(prefix="vk") as folder,
        start_valkey(Path(folder)) as socket,
        redis.Redis(unix_socket_path=socket) as client,
    ):
        client.config_set("requirepass", "geheim")
        yield f"unix://{socket}"


def _password_file(folder, text):
    file = folder / "password"
    if text is not None:
        file.write_text(text)
    return {"CASCADE_REDIS_PASSWORD_FILE": str(file)}


@pytest.mark.parametrize("text", ["geheim", "geheim\n"], ids=["bare", "with-newline"])
def test_the_password_is_read_from_its_file(tmp_path, guarded, text):
    with connect({"CASCADE_REDIS_URL": guarded} | _password_file(tmp_path, text)) as client:
        assert client.ping()


@pytest.mark.parametrize("text", [None, "", "falsch"], ids=["missing", "empty", "wrong"])
def test_a_wrong_password_is_not_repeated(tmp_path, guarded, text):
    with pytest.raises(ServiceUnavailable, match="does not answer") as caught:
        connect({"CASCADE_REDIS_URL": guarded} | _password_file(tmp_path, text))
    assert "falsch" not in str(caught.value)


def test_the_password_is_optional(tmp_path, url):
    with connect({"CASCADE_REDIS_URL": url} | _password_file(tmp_path, None)) as client:
        assert client.ping()


@pytest.mark.parametrize("kind", ["folder", "bytes"])
def test_a_password_that_cannot_be_read_is_named(tmp_path, url, kind):
    file = tmp_path / "password"
    if kind == "folder":
        file.mkdir()
    else:
        file.write_bytes(b"\xff\xfe")
    env = {"CASCADE_REDIS_URL": url, "CASCADE_REDIS_PASSWORD_FILE": str(file)}
    with pytest.raises(SpecError, match=f"password {file} cannot be read") as caught:
        connect(env)
    assert "passwordSecretRef" in caught.value.mend


@pytest.mark.parametrize(
    ("policy", "maxmemory", "said"),
    [
        pytest.param("volatile-ttl", "100mb", False, id="the cache goes first"),
        pytest.param("noeviction", "100mb", False, id="writes are refused"),
        pytest.param("allkeys-lru", "0", False, id="never full"),
        pytest.param("allkeys-lru", "100mb", True, id="anything may go"),
    ],
)
def test_a_redis_that_may_drop_the_runs_data_is_warned_of(redis_client, policy, maxmemory, said):
    before = redis_client.config_get("maxmemory*")
    redis_client.config_set("maxmemory-policy", policy)
    redis_client.config_set("maxmemory", maxmemory)
    try:
        assert (f"(maxmemory-policy {policy})" in eviction_note(redis_client)) is said
    finally:
        for name in ("maxmemory", "maxmemory-policy"):
            redis_client.config_set(name, before[name])
