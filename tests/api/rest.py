"""A small client of the API server for tests: JSON in, JSON out, one connection a call."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from api.certificates import KeyPair

T = TypeVar("T")

PATIENCE_SECONDS: Final = 120.0
"""How long tests wait for what must come: on a busy machine it comes late, and nothing is lost."""


class ApiError(Exception):
    """The API server's refusal.

    Attributes:
        status: The HTTP status.
        reason: Its one word, such as ``Invalid``.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class Rest:
    """Requests as one user.

    Attributes:
        port: Of the server on 127.0.0.1.
        authority: The certificate it must show.
        user: The user's key pair; None with a token, or for nobody.
        token: A bearer token instead.
    """

    port: int
    authority: Path
    user: KeyPair | None = None
    token: str = ""

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        seconds: float = 30.0,
        **query: str | int,
    ) -> dict[str, Any]:
        """Makes a request and returns what it answers.

        Raises:
            ApiError: It was refused.
            OSError: The server was not reached.
        """
        context = ssl.create_default_context(cafile=str(self.authority))
        if self.user is not None:
            context.load_cert_chain(self.user.certificate, self.user.key)
        headers = {"Accept": "application/json", "Content-Type": content_type}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=seconds, context=context
        )
        try:
            target = f"{path}?{urlencode(query)}" if query else path
            connection.request(method, target, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            is_json = answer.headers.get("Content-Type", "").startswith("application/json")
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise _error(answer.status, text)
        return json.loads(text) if is_json else {"text": text}

    def get(self, path: str, **query: str | int) -> dict[str, Any]:
        """Reads an object or a list."""
        return self.request("GET", path, **query)

    def create(self, path: str, body: Any, **query: str | int) -> dict[str, Any]:
        """Creates an object; an unknown or repeated field is refused."""
        return self.request("POST", path, body, fieldValidation="Strict", **query)

    def merge(self, path: str, body: Any) -> dict[str, Any]:
        """Merges a patch into an object."""
        return self.request("PATCH", path, body, content_type="application/merge-patch+json")

    def delete(self, path: str, **query: str | int) -> dict[str, Any]:
        """Deletes an object."""
        return self.request("DELETE", path, **query)


def wait_for(what: str, probe: Callable[[], T | None], *, seconds: float = PATIENCE_SECONDS) -> T:
    """Waits until a probe returns something true, and returns it.

    Args:
        what: For the error: what it waited for.
        probe: Called again and again; an object that is not there yet is waited for.
        seconds: The deadline.
    """
    deadline = time.monotonic() + seconds
    last: object = None
    while True:
        try:
            if found := probe():
                return found
        except ApiError as error:
            last = error
            if error.status not in (404, 409, 429, 500, 503):
                raise
        except OSError as error:
            last = error
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s ({last})"
        time.sleep(0.05)


def wait_state(
    what: str,
    read: Callable[[], T],
    holds: Callable[[T], object],
    *,
    show: Callable[[T], object] = lambda state: state,
    seconds: float = PATIENCE_SECONDS,
) -> T:
    """Waits until a state is as told, and returns it.

    Args:
        what: For the error: what it waited for.
        read: Reads the state; one that is not there yet is waited for.
        holds: Whether it is as told.
        show: For the error: what of the last state to show.
        seconds: The deadline.
    """
    seen: list[T] = []

    def look() -> bool:
        seen[:] = [read()]
        return bool(holds(seen[0]))

    try:
        wait_for(what, look, seconds=seconds)
    except AssertionError as error:
        last = show(seen[0]) if seen else "not there"
        raise AssertionError(f"{error}\n{last}") from None
    return seen[0]


def let_pass(what: str, seconds: float) -> None:
    """Lets time pass, where how long something lasts is what is tested."""
    end = time.monotonic() + seconds
    wait_for(what, lambda: time.monotonic() > end, seconds=seconds + 10)


def _error(status: int, text: str) -> ApiError:
    try:
        answer = json.loads(text)
        return ApiError(status, answer.get("reason", ""), answer.get("message", text))
    except ValueError:
        return ApiError(status, "", text[:500])
