import ssl
import threading
import time

import pytest

from cascade_operator.api.endpoint import resolve_endpoint
from cascade_operator.api.errors import ServiceUnavailable, SpecError, Terminated
from cascade_operator.api.retry_after import RETRY_AFTER_LIMIT
from cascade_operator.training.calls.dialects import ChatCall, OllamaDialect, OpenAIDialect
from cascade_operator.training.calls.failures import (
    ContextOverflowError,
    Refusal,
    read_refusal,
)
from cascade_operator.training.calls.http_transport import HttpTransport, RetryPolicy, tls_context
from fakes.model_server import FakeModelServer

_QUICK = RetryPolicy(attempts=3, rate_limited_attempts=5, base_delay=0.001, max_delay=0.01)
_CALL = ChatCall("llama3.2:3b", (("user", "hello"),), 0.0, 64)


@pytest.fixture(scope="module")
def running():
    with FakeModelServer() as server:
        yield server


@pytest.fixture
def server(running):
    running.recover()
    running.counts.clear()
    running.requests.clear()
    return running


def transport_to(url, **options):
    options = {"provider": "Ollama", "timeout": 5.0, "retries": _QUICK} | options
    return HttpTransport(resolve_endpoint(url), **options)


def ask(server, transport=None, **options):
    dialect = OllamaDialect(resolve_endpoint(server.url))
    transport = transport or transport_to(server.url, **options)
    return transport.post(dialect.url(), dialect.body(_CALL), model=_CALL.model, read=dialect.read)


def test_an_answer_comes_back(server):
    assert ask(server).text
    assert server.chats == 1


@pytest.mark.parametrize(
    "kind",
    ["500", "503", "429", "refuse", "garbage", "nonsense", "other", "error", "half"],
)
def test_a_failure_that_passes_is_tried_again(server, kind):
    failed = []
    server.fail(kind)
    assert ask(server, on_failure=lambda: failed.append(1)).text
    assert (server.chats, len(failed)) == (2, 1)


@pytest.mark.parametrize(
    ("kind", "attempts"),
    [
        ("500", 3),
        ("refuse", 3),
        ("garbage", 3),
        ("nonsense", 3),
        ("other", 3),
        ("error", 3),
        ("half", 3),
        ("huge", 3),
        ("429", 5),
    ],
)
def test_a_failure_that_stays_is_told_with_the_endpoint_and_a_mend(server, kind, attempts):
    server.fail(kind, -1)
    with pytest.raises(ServiceUnavailable) as caught:
        ask(server)
    assert server.url in str(caught.value)
    assert caught.value.mend
    assert server.chats == attempts


def test_the_status_stands_in_the_message(server):
    server.fail("503", -1)
    with pytest.raises(ServiceUnavailable, match="503: loading model"):
        ask(server)


def test_nobody_listens():
    transport = transport_to("http://127.0.0.1:9")
    with pytest.raises(ServiceUnavailable, match="ConnectError"):
        transport.post("http://127.0.0.1:9/x", {}, model="m", read=lambda x: x)


@pytest.mark.parametrize(
    ("url", "proxy", "roots"),
    [
        ("http://models.example", "", False),
        ("http://127.0.0.1:1", "https://proxy.example", False),
        ("http://models.example", "https://proxy.example", True),
        ("https://models.example", "", True),
        ("https://127.0.0.1:1", "", True),
    ],
)
def test_roots_are_loaded_where_tls_may_come_up_and_tls_is_always_checked(
    monkeypatch, url, proxy, roots
):
    for name in (
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    if proxy:
        monkeypatch.setenv("http_proxy", proxy)
    context = tls_context(resolve_endpoint(url))
    assert bool(context.get_ca_certs()) is roots
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_a_missing_model_is_a_spec_error_that_says_how_to_get_it(server):
    server.fail("missing_model")
    with pytest.raises(SpecError) as caught:
        ask(server)
    assert "ollama pull llama3.2:3b" in caught.value.mend
    assert server.chats == 1


def test_a_refused_key_names_the_secret(server):
    server.fail("401")
    with pytest.raises(ServiceUnavailable) as caught:
        ask(server)
    assert "apiKeySecretRef" in caught.value.mend
    assert server.chats == 1


def test_a_prompt_that_is_too_long_is_no_server_failure(server):
    server.fail("overflow")
    with pytest.raises(ContextOverflowError):
        ask(server)


def test_the_key_goes_with_each_attempt(server):
    keys = iter(["old", "new"])
    server.fail("500")
    ask(server, api_key=lambda: next(keys))
    sent = [r.headers.get("authorization") for r in server.requests]
    assert sent == ["Bearer old", "Bearer new"]


def test_a_server_that_hangs_is_left_after_the_timeout(server):
    server.fail("hang", -1, seconds=30)
    started = time.monotonic()
    with pytest.raises(ServiceUnavailable):
        ask(server, timeout=0.2, retries=RetryPolicy(attempts=1))
    assert time.monotonic() - started < 10


def test_a_slow_drip_counts_as_no_answer(server):
    server.fail("drip")
    failed = []
    assert ask(server, timeout=0.3, on_failure=lambda: failed.append(1)).text
    assert len(failed) == 1


def test_a_redirect_is_told_and_not_followed(server):
    server.fail("redirect", -1)
    with pytest.raises(ServiceUnavailable, match="307: it sends callers elsewhere") as caught:
        ask(server)
    assert "endpoint" in caught.value.mend
    assert server.chats == 1


@pytest.mark.parametrize(
    "failure", [{"kind": "hang", "seconds": 30}, {"kind": "429", "retry_after": "30"}], ids=str
)
def test_a_job_that_has_to_stop_waits_for_no_server(server, failure):
    stop = threading.Event()
    server.fail(times=-1, **failure)
    threading.Timer(0.1, stop.set).start()
    started, failed = time.monotonic(), []
    with pytest.raises(Terminated):
        ask(server, timeout=30.0, stop=stop, on_failure=lambda: failed.append(1))
    assert time.monotonic() - started < 5
    assert len(failed) == server.chats == 1, "what was asked is counted, heard or not"


def test_a_stopped_job_makes_no_call(server):
    stop = threading.Event()
    stop.set()
    with pytest.raises(Terminated):
        ask(server, stop=stop)
    assert server.chats == 0


def test_no_more_calls_at_once_than_allowed(server):
    transport = transport_to(server.url, max_parallel=2)
    server.delay, running, most, lock = 0.02, 0, 0, threading.Lock()
    original = server.record

    def record(recorded):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        original(recorded)
        time.sleep(0.01)
        with lock:
            running -= 1

    server.record = record
    try:
        threads = [threading.Thread(target=ask, args=(server, transport)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    finally:
        server.record, server.delay = original, 0.0
    assert server.chats == 8
    assert most <= 2


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("3", 3.0),
        ("0.5", 0.5),
        ("-4", 0.0),
        ("nan", 0.0),
        ("inf", RETRY_AFTER_LIMIT),
        ("86400", RETRY_AFTER_LIMIT),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:16:50 GMT", 10.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
    ],
)
def test_retry_after(header, seconds):
    refusal = read_refusal(429, {"retry-after": header}, b"", now=1000.0)
    assert refusal.retry_after == seconds


@pytest.mark.parametrize(
    ("tries", "refusal", "low", "high"),
    [
        (1, None, 0.25, 0.5),
        (3, None, 1.0, 2.0),
        (30, None, 10.0, 20.0),
        (1, Refusal(429, "", 7.0), 7.0, 7.5),
    ],
)
def test_the_wait_grows_and_is_bounded(tries, refusal, low, high):
    policy = RetryPolicy()
    assert policy.delay(tries, refusal, 0.0) == pytest.approx(low)
    assert policy.delay(tries, refusal, 1.0) == pytest.approx(high)


def test_openai_and_ollama_say_the_same(server):
    endpoint = resolve_endpoint(server.url)
    openai = OpenAIDialect(endpoint)
    said = transport_to(server.url).post(
        openai.url(), openai.body(_CALL), model="m", read=openai.read
    )
    assert said == ask(server)
