"""Stage 12: turns texts into unit vectors, through Ollama or an OpenAI-compatible server."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from cascade_operator.api.endpoint import resolve_endpoint
from cascade_operator.api.errors import DataError, ServiceUnavailable, SpecError
from cascade_operator.api.quantity import parse_duration
from cascade_operator.traces.embedding_client import (
    EmbeddingClient,
    InputRefusedError,
    OllamaClient,
    OpenAIClient,
)

if TYPE_CHECKING:
    from cascade_operator.api.models_spec import EmbeddingSpec

Vectors = NDArray[np.float32]

BATCH: Final = 64
"""Texts per request: larger batches were a source of server failures."""

# Ollama gives this model 2048 tokens; JSON takes about three characters of each.
_PIECE_CHARS: Final = 4000
_SMALLEST_PIECE: Final = 32
_LAYER_NORM_EPSILON: Final = 1e-5


class TextEmbedder(Protocol):
    """What embeds texts.

    Attributes:
        recipe: Names the model and how its answer is shortened. Vectors of two recipes lie in
            two spaces and must not be compared.
        dimensions: The length of the vectors.
    """

    @property
    def recipe(self) -> str: ...  # noqa: D102 - described by the class

    @property
    def dimensions(self) -> int: ...  # noqa: D102 - described by the class

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Returns one unit vector a text: float32 ``[len(texts), dimensions]``."""
        ...


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model's answer becomes the vector that is kept.

    Attributes:
        prefix: Put before every text.
        layer_norm: Normalise over the model's whole vector before it is cut. Nomic v1.5 was
            trained so (arXiv 2402.01613); the server's own ``dimensions`` leaves that out.
        dimensions: How many leading values are kept, rescaled to length 1.
    """

    prefix: str
    layer_norm: bool
    dimensions: int

    @classmethod
    def of(cls, model: str, dimensions: int) -> Recipe:
        """Returns the recipe that a model was made for."""
        if "nomic-embed-text" in model.lower():
            return cls("clustering: ", layer_norm=True, dimensions=dimensions)
        return cls("", layer_norm=False, dimensions=dimensions)

    @property
    def label(self) -> str:
        """The recipe in words: ``clustering-layernorm-256`` or ``slice-256``."""
        kind = "clustering-layernorm" if self.layer_norm else "slice"
        return f"{kind}-{self.dimensions}"

    def apply(self, answer: NDArray[np.float64]) -> Vectors:
        """Shortens a model's vectors ``[n, width]`` to unit vectors ``[n, dimensions]``.

        Raises:
            SpecError: The model's vectors are shorter than that.
            ServiceUnavailable: The answer is not finite, or is zero.
        """
        width = answer.shape[1]
        if width < self.dimensions:
            raise SpecError(
                f"the embedding model gives {width} dimensions, fewer than {self.dimensions}",
                mend=f"Set spec.models.embedding.dimensions to {width} or less.",
            )
        if not np.isfinite(answer).all():
            raise _bad_answer("holds NaN or infinity")
        if self.layer_norm:
            centred = answer - answer.mean(axis=1, keepdims=True)
            answer = centred / np.sqrt(centred.var(axis=1, keepdims=True) + _LAYER_NORM_EPSILON)
        kept = answer[:, : self.dimensions]
        lengths = np.linalg.norm(kept, axis=1, keepdims=True)
        if not (lengths > 0).all():
            raise _bad_answer("is the zero vector")
        return np.asarray(kept / lengths, np.float32)


class ServerEmbedder:
    """Embeds through a server, in batches, with texts that are too long cut into pieces.

    A long text is embedded piece by piece and its vector is the mean, rescaled to length 1:
    servers cut silently otherwise, and two texts that differ at the end would be equal.

    Attributes:
        long_texts: How many texts were cut so far.
    """

    def __init__(self, client: EmbeddingClient, *, name: str, model: str, dimensions: int) -> None:
        self._client = client
        self._recipe = Recipe.of(model, dimensions)
        self._name = f"{name}/{model}/{self._recipe.label}"
        self._width = 0
        self.long_texts = 0

    @property
    def recipe(self) -> str:
        """``provider/model/recipe``; the endpoint is no part of it."""
        return self._name

    @property
    def dimensions(self) -> int:
        """The length of the vectors."""
        return self._recipe.dimensions

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Embeds texts, 64 at a time.

        Returns:
            float32 ``[len(texts), dimensions]``, each row of length 1.

        Raises:
            ServiceUnavailable: The server cannot be reached, lacks the model or answers nonsense.
            DataError: The server refuses a text, however short the pieces.
            SpecError: The model's vectors are shorter than the spec wants.
        """
        vectors = np.empty((len(texts), self.dimensions), np.float32)
        texts = [_sendable(text) for text in texts]
        long = [place for place, text in enumerate(texts) if len(text) > _PIECE_CHARS]
        short = [place for place, text in enumerate(texts) if len(text) <= _PIECE_CHARS]
        for start in range(0, len(short), BATCH):
            places = short[start : start + BATCH]
            vectors[places] = self._batch([texts[place] for place in places])
        for place in long:
            vectors[place] = self._in_pieces(texts[place])
        return vectors

    def _batch(self, texts: list[str]) -> Vectors:
        """Embeds one batch; one refused text fails it whole, so it is halved to find that text."""
        try:
            answer = self._client.embed([self._recipe.prefix + text for text in texts])
        except InputRefusedError as refusal:
            if len(texts) == 1:
                return self._in_pieces(texts[0], refusal)[np.newaxis]
            middle = len(texts) // 2
            return np.concatenate([self._batch(texts[:middle]), self._batch(texts[middle:])])
        return self._apply(answer, len(texts))

    def _in_pieces(self, text: str, refusal: InputRefusedError | None = None) -> Vectors:
        if len(text) <= _SMALLEST_PIECE:
            digest = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:12]
            raise DataError(
                f"the embedding server refuses a text of {len(text)} characters "
                f"(sha256 {digest}...): {refusal}",
                mend="Look into the embedding server's log.",
            ) from refusal
        self.long_texts += 1
        mean = np.mean([self._piece(piece) for piece in _cut(text, refused=bool(refusal))], axis=0)
        length = float(np.linalg.norm(mean))
        if not length:
            raise _bad_answer("cancels out over the pieces of a long text")
        return np.asarray(mean / length, np.float32)

    def _piece(self, piece: str) -> Vectors:
        try:
            answer = self._client.embed([self._recipe.prefix + piece])
        except InputRefusedError as refusal:
            if len(piece) <= _SMALLEST_PIECE:
                return self._in_pieces(piece, refusal)
            halves = [self._piece(half) for half in _cut(piece, refused=True)]
            return np.asarray(np.mean(halves, axis=0), np.float32)
        vector: Vectors = self._apply(answer, 1)[0]
        return vector

    def _apply(self, answer: Any, rows: int) -> Vectors:
        """Checks an answer and shortens it. Vectors of two models must not be mixed."""
        matrix = _as_matrix(answer, rows)
        width = matrix.shape[1]
        if self._width and width != self._width:
            raise ServiceUnavailable(
                f"the embedding server's vectors have {width} values, and had {self._width} before",
                mend="Serve one model under this name, and start again once it does.",
            )
        vectors = self._recipe.apply(matrix)
        self._width = width
        return vectors


class OllamaEmbedder(ServerEmbedder):
    """Embeds through Ollama's ``/api/embed``."""

    def __init__(
        self, endpoint: str, model: str, dimensions: int = 256, timeout: float = 120.0
    ) -> None:
        """Args: the server's URL, a model it has pulled, the length wanted, seconds a request."""
        client = OllamaClient(resolve_endpoint(endpoint).base_url, model, timeout)
        super().__init__(client, name="ollama", model=model, dimensions=dimensions)


class OpenAIEmbedder(ServerEmbedder):
    """Embeds through an OpenAI-compatible ``/v1/embeddings``."""

    def __init__(
        self,
        endpoint: str,
        model: str,
        dimensions: int = 256,
        timeout: float = 120.0,
        api_key: str = "",
    ) -> None:
        """Args: as for Ollama; the key, if any, goes into the ``Authorization`` header."""
        client = OpenAIClient(resolve_endpoint(endpoint).base_url, model, timeout, api_key)
        super().__init__(client, name="openai", model=model, dimensions=dimensions)


def make_embedder(spec: EmbeddingSpec, *, api_key: str = "") -> ServerEmbedder:
    """Makes the embedder that a session asks for; its endpoint must be resolved.

    Raises:
        SpecError: There is no endpoint.
    """
    if not spec.endpoint:
        raise SpecError(
            "no endpoint for the embedding model", mend="Set spec.models.embedding.endpoint."
        )
    timeout = parse_duration(spec.timeout)
    if spec.provider == "OpenAI":
        return OpenAIEmbedder(spec.endpoint, spec.model, spec.dimensions, timeout, api_key)
    return OllamaEmbedder(spec.endpoint, spec.model, spec.dimensions, timeout)


def embed_distinct(texts: Sequence[str], embedder: TextEmbedder) -> Vectors:
    """Embeds each distinct text once; float32 ``[len(texts), dimensions]``."""
    places: dict[str, int] = {}
    for text in texts:
        places.setdefault(text, len(places))
    vectors = embedder.embed(list(places))
    return vectors[[places[text] for text in texts]]


def _sendable(text: str) -> str:
    """Models write half characters too (lone surrogates), and no request can hold one."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _as_matrix(answer: Any, rows: int) -> NDArray[np.float64]:
    try:
        matrix = np.asarray(answer, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise _bad_answer("is not a table of numbers") from None
    if matrix.ndim != 2 or matrix.shape[0] != rows or not matrix.shape[1]:
        raise _bad_answer(f"has the shape {matrix.shape} for {rows} texts")
    return matrix


def _cut(text: str, *, refused: bool) -> list[str]:
    """Cuts a text at blanks: in halves when the server refused it, else into even pieces."""
    count = 2 if refused else -(-len(text) // _PIECE_CHARS)
    size = -(-len(text) // count)
    pieces, start = [], 0
    while start < len(text):
        end = min(start + size, len(text))
        blank = text.rfind(" ", start + size // 2, end)
        if end < len(text) and blank > start:
            end = blank
        pieces.append(text[start:end])
        start = end
    return pieces


def _bad_answer(what: str) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"the embedding server's answer {what}",
        mend="Check the model there; try one text with curl.",
    )
