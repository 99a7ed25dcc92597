"""HTTP calls with a time limit, a size limit, retries, and an ear for the stop signal."""

from __future__ import annotations

import json
import random
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx

from cascade_operator.api.endpoint import Endpoint
from cascade_operator.api.errors import Terminated
from cascade_operator.training.calls.call_threads import CallThreads
from cascade_operator.training.calls.failures import Refusal, error_of, read_refusal, unavailable

MAX_BODY: Final = 8 * 1024 * 1024
"""Bytes of an answer; larger ones count as a failed attempt."""

T = TypeVar("T")

_POLL: Final = 0.25
"""Seconds between two looks at the stop signal while a server thinks."""


class Transport(Protocol):
    """Posts one JSON body and returns the answer's JSON."""

    def post(self, url: str, body: Mapping[str, Any], *, model: str, read: Callable[[Any], T]) -> T:
        """Returns what ``read`` makes of a 2xx answer's JSON, after as many attempts as it takes.

        Args:
            url: Where to.
            body: What.
            model: For what to mend.
            read: Raises ValueError for an answer that is not what it should be, which then
                counts as a failed attempt.

        Raises:
            ServiceUnavailable: The server failed, refused or answered nonsense to the end.
            SpecError: It does not know the model or the request.
            ContextOverflowError: The prompt is longer than the model's context.
            Terminated: The Job was told to stop meanwhile.
        """


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long a call is tried.

    Attributes:
        attempts: Tries against failing servers.
        rate_limited_attempts: Tries against a 429: many Jobs share one rate limit.
        base_delay: Seconds before the second try; doubled each time, with jitter.
        max_delay: Seconds at most, a Retry-After aside.
        max_wait: Seconds waited in all between tries.
    """

    attempts: int = 3
    rate_limited_attempts: int = 8
    base_delay: float = 0.5
    max_delay: float = 20.0
    max_wait: float = 240.0

    def delay(self, tries: int, refusal: Refusal | None, jitter: float) -> float:
        """Returns the seconds to wait after so many tries.

        Args:
            tries: Tries so far, at least 1.
            refusal: What the server said, if anything.
            jitter: 0 to 1; without a Retry-After the wait is half to all of the backoff.
        """
        backoff = min(self.max_delay, self.base_delay * 2.0 ** (tries - 1))
        if refusal is not None and refusal.retry_after is not None:
            # Jitter on top, so that Jobs told the same do not come back as one.
            return refusal.retry_after + self.base_delay * jitter
        return backoff * (0.5 + jitter / 2)

    def allows(self, tries: int, refusal: Refusal | None) -> bool:
        """Whether another try may follow so many."""
        limited = refusal is not None and refusal.status == 429
        return tries < (self.rate_limited_attempts if limited else self.attempts)


class HttpTransport:
    """Calls one endpoint over kept-alive connections. Safe to use from several threads.

    Args:
        endpoint: The server.
        provider: ``Ollama`` or ``OpenAI``, for what to mend.
        timeout: Seconds one attempt may take in all.
        api_key: Gives the key anew for each attempt, since a mounted Secret can be rotated.
        max_parallel: Calls at once from this process.
        stop: Set when the Job has to leave.
        retries: How often a call is tried.
        seed: Of the jitter.
        on_failure: Called for each failed attempt (the meter).
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        provider: str,
        timeout: float,
        api_key: Callable[[], str | None] = lambda: None,
        max_parallel: int = 8,
        stop: threading.Event | None = None,
        retries: RetryPolicy = RetryPolicy(),
        seed: int = 0,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self._endpoint = endpoint
        self._provider = provider
        self._timeout = timeout
        self._api_key = api_key
        self._places = threading.BoundedSemaphore(max(1, max_parallel))
        self._stop = stop or threading.Event()
        self._retries = retries
        self._random = random.Random(seed)
        self._on_failure = on_failure
        self._threads = CallThreads("model-call")
        self._client = httpx.Client(
            timeout=httpx.Timeout(timeout, connect=min(10.0, timeout), pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=max_parallel),
            follow_redirects=False,
            trust_env=not endpoint.loopback,
            verify=tls_context(endpoint),
            # No compression: a bound on what arrives is then a bound on what is held.
            headers={"accept-encoding": "identity", "user-agent": "cascade-operator"},
        )

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def post(self, url: str, body: Mapping[str, Any], *, model: str, read: Callable[[Any], T]) -> T:
        """Returns what ``read`` makes of a 2xx answer's JSON; see :class:`Transport`."""
        content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        tries, waited = 0, 0.0
        while True:
            tries += 1
            self._wait_for_place()
            try:
                outcome = self._attempt(url, content)
            finally:
                self._places.release()
            if isinstance(outcome, _Payload):
                try:
                    return read(outcome.value)
                except ValueError as error:
                    outcome = f"an answer that is no answer: {error}"
            self._on_failure()
            refusal = outcome if isinstance(outcome, Refusal) else None
            delay = self._retries.delay(tries, refusal, self._random.random())
            if (
                (refusal is not None and not refusal.passes)
                or not self._retries.allows(tries, refusal)
                or waited + delay > self._retries.max_wait
            ):
                raise self._error(outcome, tries, model)
            waited += delay
            if self._stop.wait(delay):
                raise _stopped()

    def _error(self, outcome: Refusal | str, tries: int, model: str) -> Exception:
        name = self._endpoint.logical
        if isinstance(outcome, Refusal):
            return error_of(outcome, endpoint=name, model=model, provider=self._provider)
        return unavailable(f"{name} failed {tries} times, at last: {outcome}", name)

    def _wait_for_place(self) -> None:
        while not self._places.acquire(timeout=_POLL):
            if self._stop.is_set():
                raise _stopped()
        if self._stop.is_set():
            self._places.release()
            raise _stopped()

    def _attempt(self, url: str, content: bytes) -> _Payload | Refusal | str:
        # In a thread of its own: a socket cannot be woken, but this thread can leave it behind
        # when the Job must end.
        flight = _Flight()
        headers = {"content-type": "application/json"}
        key = self._api_key()
        if key:
            headers["authorization"] = f"Bearer {key}"
        self._threads.run(partial(self._fly, flight, url, content, headers))
        deadline = time.monotonic() + self._timeout
        while not flight.landed.wait(_POLL):
            if self._stop.is_set():
                self._on_failure()  # it was asked, and nobody will hear the answer
                raise _stopped()
            if time.monotonic() > deadline:
                flight.abandoned = True
                return f"no answer within {self._timeout:g} s"
        return flight.outcome

    def _fly(self, flight: _Flight, url: str, content: bytes, headers: dict[str, str]) -> None:
        try:
            flight.outcome = self._exchange(flight, url, content, headers)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError, RuntimeError) as error:
            flight.outcome = f"{type(error).__name__}: {error}"
        finally:
            flight.landed.set()

    def _exchange(
        self, flight: _Flight, url: str, content: bytes, headers: dict[str, str]
    ) -> _Payload | Refusal | str:
        with self._client.stream("POST", url, content=content, headers=headers) as answer:
            received = bytearray()
            for chunk in answer.iter_raw():
                received += chunk
                if len(received) > MAX_BODY:
                    return f"an answer of more than {MAX_BODY} bytes"
                if flight.abandoned:
                    return "abandoned"
        if not answer.is_success:
            return read_refusal(answer.status_code, answer.headers, bytes(received), time.time())
        try:
            return _Payload(json.loads(received))
        except (ValueError, RecursionError):
            return f"status {answer.status_code} with a body that is no JSON"


def tls_context(endpoint: Endpoint) -> ssl.SSLContext:
    """Returns what TLS is checked with: the usual roots, 50 ms to load, where it may come to it.

    Without them every handshake fails, so that a mistake here could only refuse a connection.
    """
    proxied = not endpoint.loopback and bool(getproxies())
    if urlsplit(endpoint.base_url).scheme == "http" and not proxied:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.create_ssl_context(trust_env=not endpoint.loopback)


@dataclass(frozen=True, slots=True)
class _Payload:
    value: Any


class _Flight:
    """One attempt under way."""

    __slots__ = ("abandoned", "landed", "outcome")

    def __init__(self) -> None:
        self.landed = threading.Event()
        self.abandoned = False
        self.outcome: _Payload | Refusal | str = "no answer"


def _stopped() -> Terminated:
    return Terminated("told to stop while a model was being called")
