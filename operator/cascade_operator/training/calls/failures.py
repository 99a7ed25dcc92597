"""What a server's refusal means: try again, say what to mend, or count it as no answer."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from cascade_operator.api.errors import CascadeError, ServiceUnavailable, SpecError
from cascade_operator.api.retry_after import retry_after_seconds

_TOO_LONG: Final = re.compile(
    r"context[ _-]?(length|size|window)|exceed_context|maximum context|prompt is too long"
    r"|too many tokens|input is too long",
    re.IGNORECASE,
)
_NO_MODEL: Final = re.compile(
    r"model.{0,200}?(not found|does not exist|not exist|unknown|try pulling)"
    r"|(unknown|no such) model|model_not_found",
    re.IGNORECASE | re.DOTALL,
)


class ContextOverflowError(Exception):
    """The prompt is longer than the model's context.

    A property of the program (too many demonstrations), not of the server: the node has no
    answer for this record, as with one that cannot be read.
    """


@dataclass(frozen=True, slots=True)
class Refusal:
    """A server's answer that is no 2xx.

    Attributes:
        status: HTTP status.
        detail: The server's own words, shortened.
        retry_after: Seconds it asks to wait; None when it names none.
    """

    status: int
    detail: str
    retry_after: float | None = None

    @property
    def passes(self) -> bool:
        """Whether it is worth trying again."""
        return self.status in {408, 425, 429} or self.status >= 500


def read_refusal(status: int, headers: Any, body: bytes, now: float) -> Refusal:
    """Reads an answer that is no 2xx.

    Args:
        status: HTTP status.
        headers: The answer's headers.
        body: Its body, possibly cut off.
        now: Seconds since the epoch, for a Retry-After that is a date.
    """
    return Refusal(status, _detail(body), retry_after_seconds(headers.get("retry-after"), now))


def error_of(refusal: Refusal, *, endpoint: str, model: str, provider: str) -> Exception:
    """Returns the error for a refusal that will not pass.

    Returns:
        ContextOverflowError for a prompt that is too long; SpecError for a model or a request the
        server does not know; ServiceUnavailable for the rest, a refused key among them, since
        a Secret can be put right while the run retries.
    """
    said = f"{endpoint} answered {refusal.status}: {refusal.detail or 'nothing more'}"
    if refusal.status in {401, 403}:
        return ServiceUnavailable(
            said,
            mend="Check the Secret that the model's apiKeySecretRef names, and that the key may "
            f"use the model {model}.",
        )
    if refusal.status in {400, 413, 422} and _TOO_LONG.search(refusal.detail):
        return ContextOverflowError(said)
    if refusal.status in {400, 404} and _NO_MODEL.search(refusal.detail):
        return SpecError(f"{said} (model {model})", mend=_model_mend(model, endpoint, provider))
    if 300 <= refusal.status < 400:
        return ServiceUnavailable(
            f"{endpoint} answered {refusal.status}: it sends callers elsewhere, which is not "
            "followed",
            mend="Write the address it moved to as the model's endpoint (and mind http or https).",
        )
    if refusal.status in {400, 422}:
        return SpecError(
            said,
            mend="The server refuses the request: check the model's parameters; "
            "structuredOutput None sends no schema.",
        )
    return unavailable(said, endpoint)


def unavailable(said: str, endpoint: str) -> CascadeError:
    """Returns the error for a server that does not answer as it should."""
    return ServiceUnavailable(
        said, mend=f"Check that a model server answers at {endpoint}, and the model's timeout."
    )


def _model_mend(model: str, endpoint: str, provider: str) -> str:
    if provider == "Ollama":
        return f"Run `ollama pull {model}` at {endpoint}, or name a model it has."
    return f"Name a model that {endpoint} serves (see its /v1/models)."


def _detail(body: bytes) -> str:
    text = body[:4_096].decode("utf-8", "replace")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = None
    if isinstance(said, dict):
        error = said.get("error", said.get("message", said.get("detail")))
        if isinstance(error, dict):
            error = " ".join(
                str(error[key]) for key in ("message", "type", "code") if error.get(key)
            )
        text = str(error) if error else text
    return " ".join(text.split())[:300]
