"""How the fake model server can be told to fail."""

from collections.abc import Callable
from dataclasses import dataclass

FAILURES = (
    "refuse",  # closes the connection without a word
    "hang",  # answers nothing until `seconds` are over
    "429",  # with Retry-After `retry_after`
    "500",
    "503",
    "401",
    "garbage",  # 200 and no JSON
    "nonsense",  # 200, JSON, but no answer
    "other",  # 200, JSON of another form
    "error",  # 200 with an error object
    "half",  # announces more bytes than it sends
    "drip",  # a byte now and then, without end
    "redirect",  # 307 to another server
    "huge",  # 9 MiB
    "missing_model",  # 404 as Ollama and OpenAI say it
    "overflow",  # 400: the prompt is longer than the context
    "no_schema",  # 400: response_format is not known
)


BODIES = {
    "429": (429, b'{"error": "slow down"}'),
    "500": (500, b'{"error": "out of order"}'),
    "503": (503, b'{"error": "loading model"}'),
    "401": (401, b'{"error": {"message": "invalid api key"}}'),
    "garbage": (200, b"<html>it works</html>"),
    "nonsense": (200, b'{"hello": "world"}'),
    "other": (200, b'[["an", "answer"], 7, null]'),
    "error": (200, b'{"error": {"message": "the model crashed", "code": 500}}'),
    "redirect": (307, b""),
    "huge": (200, b" " * (9 * 1024 * 1024)),
    "missing_model": (404, b'{"error": "model \'MODEL\' not found, try pulling it first"}'),
    "overflow": (
        400,
        b'{"error": {"message": "the request exceeds the available context size", '
        b'"type": "exceed_context_size_error"}}',
    ),
    "no_schema": (400, b'{"error": {"message": "response_format is not supported"}}'),
}


@dataclass
class Failure:
    kind: str
    times: int = 1
    seconds: float = 3600.0
    retry_after: str = "0"
    wanted: Callable[[dict], bool] = lambda body: True
    """Whether a request of this body fails."""
