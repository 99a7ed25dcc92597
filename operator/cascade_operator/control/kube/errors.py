"""What an API server's answer means for whoever asked: the loop treats each kind differently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cascade_operator.api.retry_after import retry_after_seconds
from cascade_operator.control.kube.decode import read_json
from cascade_operator.control.kube.port import (
    ClusterError,
    ConflictError,
    NotFoundError,
    RefusedError,
)

_MOST_WORDS: Final = 1000
_BUSY: Final = frozenset({429, 503})


class GoneError(ClusterError):
    """A resource version, or a list's continuation, is too old (410): list anew."""


class BusyError(ClusterError):
    """The server asks for patience (429, 503).

    Attributes:
        retry_after: Seconds to wait at least; None where it named none.
    """

    def __init__(self, message: str, *, retry_after: float | None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnauthorizedError(ClusterError):
    """The credentials are not accepted (401): they may have been renewed meanwhile."""


class UnreachableError(ClusterError):
    """No answer came: a network that is down, a server that restarts, a timeout."""


class AlreadyExistsError(ConflictError):
    """An object of the name exists (409 on create)."""


_KINDS: Final[Mapping[int, type[ClusterError]]] = {
    401: UnauthorizedError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
}
_REFUSED: Final = frozenset({400, 403, 405, 413, 415, 422})


def error_of(status: int, body: bytes, retry_after: str | None, now: float) -> ClusterError:
    """Sorts an answer that is no success.

    Args:
        status: The HTTP status.
        body: The answer's body, a ``Status`` object where the API server itself answered.
        retry_after: The header's value.
        now: Seconds since the epoch, for a date in that header.
    """
    reason, words = _words(status, body)
    if status in _BUSY:
        return BusyError(words, retry_after=retry_after_seconds(retry_after, now))
    if status == 409 and reason == "AlreadyExists":
        return AlreadyExistsError(words)
    if status in _KINDS:
        return _KINDS[status](words)
    if status in _REFUSED:
        return RefusedError(words, reason=reason)
    return ClusterError(words)


def _words(status: int, body: bytes) -> tuple[str, str]:
    try:
        answer: Any = read_json(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        return f"HTTP{status}", f"the API server answered {status}"
    reason = str(answer.get("reason") or f"HTTP{status}")[:64]
    message = str(answer.get("message") or f"the API server answered {status}")
    return reason, message[:_MOST_WORDS]
