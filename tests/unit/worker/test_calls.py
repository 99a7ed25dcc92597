"""What a Job asks models with: the embedder and its key, and the leases of its calls."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cascade_operator.api.errors import ServiceUnavailable
from cascade_operator.api.models_spec import EmbeddingSpec
from cascade_operator.worker.calls import embedder_of, open_calls
from fakes.model_server import FakeModelServer
from fakes.worker_jobs import job_context


def _spec(url):
    return EmbeddingSpec(
        provider="OpenAI",
        endpoint=url,
        model="m",
        dimensions=256,
        api_key_secret_ref={"name": "my-key"},
    )


def test_the_key_is_read_from_its_secret(tmp_path, monkeypatch):
    (tmp_path / "my-key").mkdir()
    (tmp_path / "my-key" / "token").write_text("geheim\n")
    monkeypatch.setenv("CASCADE_SECRETS", str(tmp_path))
    with FakeModelServer() as server:
        vectors = embedder_of(_spec(server.url)).embed(["a first text", "another one"])
        (request,) = server.requests
    assert vectors.shape == (2, 256)
    assert request.headers["authorization"] == "Bearer geheim"


def test_a_missing_secret_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("CASCADE_SECRETS", str(tmp_path))
    with pytest.raises(ServiceUnavailable, match="API key token of Secret my-key"):
        embedder_of(_spec("http://127.0.0.1:9"))


def test_a_job_that_leaves_keeps_no_other_waiting_for_its_calls(
    tmp_path, valkey_socket, redis_client
):
    """Its call hangs; the next Job asks at once, long before the lease would expire."""
    begun, goes_on = threading.Event(), threading.Event()

    def hang():
        begun.set()
        goes_on.wait(20)
        return b"late"

    context = job_context(tmp_path, valkey_socket)
    with ThreadPoolExecutor(1) as pool:
        with open_calls(context, "00") as leaving:
            flight = pool.submit(leaving.services.cache.get_or_compute, "k", hang)
            assert begun.wait(10)
            assert redis_client.get("k:lease")
        assert redis_client.get("k:lease") is None
        with open_calls(job_context(tmp_path, valkey_socket), "00") as following:
            assert following.services.cache.get_or_compute("k", lambda: b"first") == b"first"
        goes_on.set()
        # What comes late is not what the others were told.
        assert flight.result(10) == b"first"


def test_a_job_that_has_left_takes_no_lease(tmp_path, valkey_socket, redis_client):
    with open_calls(job_context(tmp_path, valkey_socket), "00") as calls:
        pass
    with ThreadPoolExecutor(1) as pool:
        flight = pool.submit(calls.services.cache.get_or_compute, "k", lambda: b"mine")
        other = open_calls(job_context(tmp_path, valkey_socket), "00")
        assert other.services.cache.get_or_compute("k", lambda: b"theirs") == b"theirs"
        assert flight.result(10) == b"theirs"
