"""The part of Ollama's HTTP API that embeds: ``/api/embed``, ``/api/tags``, ``/api/version``.

Requests are bounded before they are read, and refused with the server's own words and codes, so
that a client meets here what it would meet there.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Annotated, Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from cascade_operator.local.servers.sentence_model import unit_rows

_LOG = logging.getLogger(__name__)

VERSION: Final = "0.9.0"
"""The version of Ollama whose contract this follows."""

_MAX_BODY: Final = 8 * 1024**2
_MAX_TEXTS: Final = 2048
_IDLE_SECONDS: Final = 60.0


class Embedder(Protocol):
    """What the server needs of a model."""

    @property
    def max_tokens(self) -> int:
        """Tokens it takes; more are cut or refused."""
        ...

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Splits texts into token ids of any length."""
        ...

    def embed(self, tokens: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """Embeds n token lists as unit vectors of shape [n, d]."""
        ...


def _as_list(given: object) -> object:
    return [given] if isinstance(given, str) else given


class EmbedRequest(BaseModel):
    """The body of ``POST /api/embed``; fields of Ollama's that change no vector are ignored."""

    model: str
    input: Annotated[list[str], BeforeValidator(_as_list), Field(max_length=_MAX_TEXTS)]
    truncate: bool = True
    dimensions: Annotated[int, Field(ge=0)] = 0


class RefusedRequestError(Exception):
    """A request the server answers with an error.

    Attributes:
        status: The HTTP status.
    """

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class EmbeddingService:
    """Answers requests with one model; safe to use from several threads."""

    def __init__(self, name: str, model: Embedder) -> None:
        self.name = name
        self._model = model
        self._lock = threading.Lock()

    def embed(self, body: bytes) -> dict[str, Any]:
        """Answers ``POST /api/embed``.

        Raises:
            RefusedRequestError: 400 for a bad body or a text too long, 404 for another model.
        """
        try:
            request = EmbedRequest.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise RefusedRequestError(
                HTTPStatus.BAD_REQUEST, f"{where}: {first['msg']}".lstrip(": ")
            ) from error
        if request.model not in (self.name, f"{self.name}:latest"):
            raise RefusedRequestError(
                HTTPStatus.NOT_FOUND, f'model "{request.model}" not found, try pulling it first'
            )
        with self._lock:
            tokens = self._model.tokens(request.input)
            if not request.truncate and any(len(ids) > self._model.max_tokens for ids in tokens):
                raise RefusedRequestError(
                    HTTPStatus.BAD_REQUEST, "the input length exceeds the context length"
                )
            vectors = self._model.embed(tokens)
        return {
            "model": request.model,
            "embeddings": _cut(vectors, request.dimensions).tolist(),
            "prompt_eval_count": sum(min(len(ids), self._model.max_tokens) for ids in tokens),
        }

    def tags(self) -> dict[str, Any]:
        """Answers ``GET /api/tags``: the one model there is."""
        return {"models": [{"name": self.name, "model": self.name}]}


def make_server(service: EmbeddingService, port: int = 0) -> ThreadingHTTPServer:
    """Makes an HTTP server on the loopback interface, on a free port by default.

    The caller runs it.
    """

    class Handler(_Handler):
        embedding_service = service

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    return server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    # Headers and body leave in two writes; with Nagle's algorithm the second one waits 40 ms.
    disable_nagle_algorithm = True
    wbufsize = -1
    embedding_service: EmbeddingService

    def do_GET(self) -> None:
        answers = {"/api/tags": self.embedding_service.tags, "/api/version": _version}
        answer = answers.get(self.path)
        if answer is None:
            self._answer(HTTPStatus.NOT_FOUND, {"error": "not found"})
        else:
            self._answer(HTTPStatus.OK, answer())

    def do_POST(self) -> None:
        try:
            if self.path != "/api/embed":
                raise RefusedRequestError(HTTPStatus.NOT_FOUND, "not found")
            self._answer(HTTPStatus.OK, self.embedding_service.embed(self._body()))
        except RefusedRequestError as error:
            # The body may be unread, so the connection cannot serve another request.
            self.close_connection = True
            self._answer(error.status, {"error": str(error)})

    def _body(self) -> bytes:
        text = self.headers.get("Content-Length", "")
        if not (text.isascii() and text.isdecimal()):
            raise RefusedRequestError(HTTPStatus.LENGTH_REQUIRED, "a Content-Length is needed")
        if len(text) > 12 or int(text) > _MAX_BODY:
            raise RefusedRequestError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has at most {_MAX_BODY} bytes"
            )
        return self.rfile.read(int(text))

    def _answer(self, status: HTTPStatus, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        _LOG.debug(format, *args)


def _version() -> dict[str, Any]:
    return {"version": VERSION}


def _cut(vectors: npt.NDArray[np.float32], dimensions: int) -> npt.NDArray[np.float32]:
    """Keeps the first dimensions and scales back to length 1, as Ollama does."""
    if not 0 < dimensions < vectors.shape[1]:
        return vectors
    return unit_rows(vectors[:, :dimensions])
