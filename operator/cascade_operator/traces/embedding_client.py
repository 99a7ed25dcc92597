"""The two dialects that embedding servers speak, with timeouts, bounds and plain errors."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit

from cascade_operator.api.errors import ServiceUnavailable
from cascade_operator.api.retry_after import retry_after_seconds

if TYPE_CHECKING:
    import ollama

_RETRIES: Final[Sequence[float]] = (0.5, 2.0)
"""Seconds before the second and the third attempt."""

_RETRIES_LIMITED: Final[Sequence[float]] = (0.5, 2.0, 4.0, 8.0, 16.0, 16.0, 16.0)
"""Likewise against a 429 that does not say how long to wait: many Jobs share one rate limit."""

_MOST_WAITED: Final = 240.0
"""Seconds waited in all, whatever a server asks for."""

_MAX_ANSWER_BYTES: Final = 64 << 20
_CONNECT_SECONDS: Final = 10.0
_NOT_FOUND: Final = 404
_CLIENT_ERRORS: Final = range(400, 500)
_REDIRECTS: Final = range(300, 400)
_REFUSALS: Final = (400, 413, 422)
_LIMITED: Final = 429
_RETRIED: Final = (408, _LIMITED)

_SPARE_SECONDS: Final = 0.5
"""For the client's own timeout, which tells more, to be the first."""

_MOVED: Final = "Write the address it moved to as spec.models.embedding.endpoint."

T = TypeVar("T")


class InputRefusedError(Exception):
    """The server refuses this input, most often because it is too long."""


class _StatusError(Exception):
    """An HTTP status that is not 2xx."""

    def __init__(self, status: int, text: str, retry_after: str | None = None) -> None:
        super().__init__(f"HTTP {status}: {text[:300]}")
        self.status = status
        self.retry_after = retry_after_seconds(retry_after, time.time())


class EmbeddingClient(Protocol):
    """One request to an embedding server."""

    def embed(self, texts: Sequence[str]) -> Any:
        """Returns the server's vectors, one a text, unchecked.

        Raises:
            InputRefusedError: The server refuses a text.
            ServiceUnavailable: It cannot be reached, or lacks the model.
        """
        ...


class OllamaClient:
    """Ollama's ``/api/embed``, through its own client."""

    def __init__(
        self, endpoint: str, model: str, timeout: float, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Args: URL, model, seconds a request, and what waits between attempts."""
        self._endpoint, self._model, self._sleep = endpoint, model, sleep
        self._timeout = timeout
        self._headers = threading.local()  # of the last answer: the client keeps none for an error

    @cached_property
    def _client(self) -> ollama.Client:
        # 0.3 s with its import, which a group's worker pays after its first model calls.
        import httpx  # noqa: PLC0415
        import ollama  # noqa: PLC0415

        # Without a timeout of ours the client waits for ever.
        return ollama.Client(
            host=self._endpoint,
            timeout=httpx.Timeout(self._timeout, connect=min(_CONNECT_SECONDS, self._timeout)),
            follow_redirects=False,
            trust_env=not _is_loopback(self._endpoint),
            event_hooks={"response": [self._keep_headers]},
        )

    def embed(self, texts: Sequence[str]) -> Any:
        """Embeds at most a batch; a text too long is refused by the server, never cut."""
        return _attempt(
            lambda: _within(self._timeout, lambda: self._once(texts), self._endpoint),
            self._endpoint,
            self._mend,
            self._sleep,
        )

    def _keep_headers(self, response: Any) -> None:
        self._headers.last = response.headers

    def _once(self, texts: Sequence[str]) -> Any:
        import httpx  # noqa: PLC0415
        import ollama  # noqa: PLC0415

        try:
            answer = self._client.embed(
                model=self._model, input=list(texts), truncate=False, keep_alive="30m"
            )
        except ollama.ResponseError as error:
            retry_after = self._headers.last.get("retry-after")
            raise _StatusError(error.status_code, str(error.error), retry_after) from None
        except (ConnectionError, httpx.HTTPError) as error:
            raise _unreachable(self._endpoint, error) from None
        except (ValueError, TypeError) as error:
            # Neither JSON nor the client's idea of an answer.
            raise _StatusError(502, f"the answer is not Ollama's: {error}") from None
        return answer.embeddings

    def _mend(self, status: int) -> str:
        if status == _NOT_FOUND:
            return f"Fetch the model there: ollama pull {self._model}"
        return "Check the Ollama server and its log."


class OpenAIClient:
    """``POST /v1/embeddings`` of an OpenAI-compatible server."""

    def __init__(
        self,
        endpoint: str,
        model: str,
        timeout: float,
        api_key: str = "",
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Args: URL with or without ``/v1``, model, seconds a request, key, what waits."""
        import httpx  # noqa: PLC0415

        base = endpoint if endpoint.endswith("/v1") else f"{endpoint}/v1"
        self._endpoint, self._model, self._sleep = f"{base}/embeddings", model, sleep
        self._timeout = timeout
        self._client = httpx.Client(
            timeout=httpx.Timeout(timeout, connect=min(_CONNECT_SECONDS, timeout)),
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            trust_env=not _is_loopback(endpoint),
        )

    def embed(self, texts: Sequence[str]) -> Any:
        """Embeds at most a batch; the answer is put into the order of the texts."""
        return _attempt(
            lambda: _within(self._timeout, lambda: self._once(texts), self._endpoint),
            self._endpoint,
            self._mend,
            self._sleep,
        )

    def _once(self, texts: Sequence[str]) -> Any:
        import httpx  # noqa: PLC0415

        question = {"model": self._model, "input": list(texts), "encoding_format": "float"}
        body = bytearray()
        try:
            with self._client.stream("POST", self._endpoint, json=question) as response:
                for part in response.iter_bytes():
                    body += part
                    if len(body) > _MAX_ANSWER_BYTES:
                        raise _StatusError(502, f"the answer is over {_MAX_ANSWER_BYTES} bytes")
                if not response.is_success:
                    raise _StatusError(
                        response.status_code,
                        body.decode(errors="replace"),
                        response.headers.get("retry-after"),
                    )
        except httpx.HTTPError as error:
            raise _unreachable(self._endpoint, error) from None
        try:
            rows = json.loads(bytes(body))["data"]
            return [row["embedding"] for row in sorted(rows, key=lambda row: int(row["index"]))]
        except (ValueError, KeyError, TypeError):
            raise _StatusError(502, "the answer is not a list of embeddings") from None

    def _mend(self, status: int) -> str:
        if status in (401, 403):
            return "Check the key in spec.models.embedding.apiKeySecretRef."
        if status == _NOT_FOUND:
            return f"Check that the endpoint is right and serves the model {self._model}."
        return "Check the embedding server and its log."


def _attempt(
    once: Callable[[], T],
    endpoint: str,
    mend: Callable[[int], str],
    sleep: Callable[[float], None],
) -> T:
    """Tries up to three times, eight times against a 429; what no repetition mends ends it."""
    tries, waited = 0, 0.0
    while True:
        tries += 1
        pauses, asked = _RETRIES, None
        try:
            return once()
        except _StatusError as error:
            if error.status in _REFUSALS:
                raise InputRefusedError(str(error)) from None
            failure = ServiceUnavailable(
                f"the embedding server at {endpoint} answers {error}",
                mend=_MOVED if error.status in _REDIRECTS else mend(error.status),
            )
            final = error.status in _CLIENT_ERRORS and error.status not in _RETRIED
            if final or error.status in _REDIRECTS:
                raise failure from None
            if error.status == _LIMITED:
                pauses, asked = _RETRIES_LIMITED, error.retry_after
        except ServiceUnavailable as error:
            failure = error
        if tries > len(pauses):
            raise failure
        pause = pauses[tries - 1] if asked is None else asked
        waited += pause
        if waited > _MOST_WAITED:
            raise failure
        sleep(pause)


def _within(seconds: float, once: Callable[[], T], endpoint: str) -> T:
    """Runs one attempt for so long at most: a client's own timeout starts anew with each byte."""
    found: list[T] = []
    failed: list[BaseException] = []

    def attempt() -> None:
        try:
            found.append(once())
        except BaseException as error:  # noqa: BLE001 - raised below, in the caller's thread
            failed.append(error)

    # A daemon, so that one left behind does not hold the interpreter.
    thread = threading.Thread(target=attempt, name="embedding-call", daemon=True)
    thread.start()
    thread.join(seconds + _SPARE_SECONDS)
    if failed:
        raise failed[0]
    if not found:
        raise _unreachable(endpoint, TimeoutError(f"no whole answer within {seconds:g} s"))
    return found[0]


def _unreachable(endpoint: str, error: Exception) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"the embedding server at {endpoint} does not answer "
        f"({type(error).__name__}: {str(error)[:200]})",
        mend="Check that it runs and that this Job can reach it (spec.models.embedding.endpoint).",
    )


def _is_loopback(endpoint: str) -> bool:
    """A proxy set for the machine must not get what is meant for this machine."""
    return urlsplit(endpoint).hostname in {"127.0.0.1", "localhost", "::1"}
