"""The two wire forms of a chat call: OpenAI's and Ollama's."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from cascade_operator.api.endpoint import EMBEDDED_CHAT, Endpoint
from cascade_operator.training.calls.schema import strict_schema

Finish = Literal["stop", "length"]

_OPENAI_HOST: Final = re.compile(r"(api\.openai\.com|.*\.openai\.azure\.com)")
# These take temperature 1 only, and refuse the field.
_REASONING_MODEL: Final = re.compile(r"(o[1345]|gpt-5)(?!.*-chat)([-.].*)?")


@dataclass(frozen=True, slots=True)
class ChatCall:
    """One request, whatever the wire.

    Attributes:
        model: The model's name at its server.
        messages: (role, text) in order.
        temperature: Always sent: servers' defaults differ (Ollama's /v1 takes 1.0).
        max_tokens: Tokens the answer may have.
        schema: A bounded JSON schema, or None for free text.
        seed: For servers that can repeat an answer.
        context_length: Tokens of context (Ollama's num_ctx); None leaves it to the server.
    """

    model: str
    messages: tuple[tuple[str, str], ...]
    temperature: float
    max_tokens: int
    schema: Mapping[str, Any] | None = None
    seed: int | None = None
    context_length: int | None = None


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """One answer: its text, how it ended, and what it cost in tokens."""

    text: str
    finish: Finish
    input_tokens: int
    output_tokens: int

    def to_bytes(self) -> bytes:
        """Returns the form kept in the cache."""
        parts = [self.text, self.finish, self.input_tokens, self.output_tokens]
        return json.dumps(parts, ensure_ascii=False).encode("utf-8", "replace")

    @classmethod
    def from_bytes(cls, data: bytes) -> ChatAnswer:
        """Reads the cache's form.

        Raises:
            ValueError: The bytes are no answer.
        """
        parts = json.loads(data.decode("utf-8"))
        if not isinstance(parts, list) or len(parts) != 4:
            raise ValueError("a cached answer is no list of four")
        text, finish, inputs, outputs = parts
        if not isinstance(text, str) or finish not in {"stop", "length"}:
            raise ValueError("a cached answer holds no text or an unknown end")
        return cls(text, finish, _count(inputs), _count(outputs))


class GarbledAnswerError(ValueError):
    """A 2xx answer whose body is not what the dialect promises."""


class Dialect(Protocol):
    """One wire form."""

    @property
    def name(self) -> str:
        """The name that cache keys carry."""

    def url(self) -> str:
        """Where calls are posted."""

    def body(self, call: ChatCall) -> dict[str, Any]:
        """Returns the JSON body of a call."""

    def read(self, payload: Any) -> ChatAnswer:
        """Reads a 2xx answer's JSON.

        Raises:
            GarbledAnswerError: It is not what the dialect promises.
        """


@dataclass(frozen=True, slots=True)
class OpenAIDialect:
    """``/v1/chat/completions``, as llama.cpp, vLLM, LM Studio and OpenAI itself answer it."""

    endpoint: Endpoint
    name: str = "openai"

    def url(self) -> str:
        """Where calls are posted."""
        return self.endpoint.openai_url("chat/completions")

    def body(self, call: ChatCall) -> dict[str, Any]:
        """Returns the JSON body of a call."""
        official = _OPENAI_HOST.fullmatch(self.endpoint.host) is not None
        body: dict[str, Any] = {
            "model": call.model,
            "messages": [{"role": role, "content": text} for role, text in call.messages],
            "stream": False,
            "max_completion_tokens" if official else "max_tokens": call.max_tokens,
        }
        if not (official and _REASONING_MODEL.fullmatch(call.model)):
            body["temperature"] = call.temperature
        if call.seed is not None:
            body["seed"] = call.seed
        if call.schema is not None:
            body["response_format"] = _response_format(call.schema, official=official)
        if self.endpoint.embedded:
            body["cache_prompt"] = True
        if self.endpoint.logical == EMBEDDED_CHAT:
            # The small model repeats itself up to its token limit; measured with a schema of
            # five fields: 19 of 30 answers parse without these, 39 of 40 with them.
            body |= {"repeat_penalty": 1.1, "dry_multiplier": 0.8}
        return body

    def read(self, payload: Any) -> ChatAnswer:
        """Reads a 2xx answer's JSON."""
        choices = payload.get("choices") if isinstance(payload, dict) else None
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            raise GarbledAnswerError("it has no choices")
        message = choices[0].get("message")
        if not isinstance(message, dict):
            raise GarbledAnswerError("its first choice has no message")
        usage = payload.get("usage")
        usage = usage if isinstance(usage, dict) else {}
        return ChatAnswer(
            _text(message.get("content")),
            _finish(choices[0].get("finish_reason")),
            _count(usage.get("prompt_tokens")),
            _count(usage.get("completion_tokens")),
        )


@dataclass(frozen=True, slots=True)
class OllamaDialect:
    """Ollama's ``/api/chat``: unlike its ``/v1``, it takes the context length with the call."""

    endpoint: Endpoint
    name: str = "ollama"
    keep_alive: str = "30m"

    def url(self) -> str:
        """Where calls are posted."""
        return self.endpoint.ollama_url("api/chat")

    def body(self, call: ChatCall) -> dict[str, Any]:
        """Returns the JSON body of a call."""
        options: dict[str, Any] = {
            "temperature": call.temperature,
            "num_predict": call.max_tokens,
        }
        if call.context_length is not None:
            options["num_ctx"] = call.context_length
        if call.seed is not None:
            options["seed"] = call.seed
        body: dict[str, Any] = {
            "model": call.model,
            "messages": [{"role": role, "content": text} for role, text in call.messages],
            "stream": False,
            "options": options,
            "keep_alive": self.keep_alive,
        }
        if call.schema is not None:
            body["format"] = dict(call.schema)
        return body

    def read(self, payload: Any) -> ChatAnswer:
        """Reads a 2xx answer's JSON."""
        message = payload.get("message") if isinstance(payload, dict) else None
        if not isinstance(message, dict):
            raise GarbledAnswerError("it has no message")
        if payload.get("done") is not True:
            raise GarbledAnswerError("it is not done")
        return ChatAnswer(
            _text(message.get("content")),
            _finish(payload.get("done_reason")),
            _count(payload.get("prompt_eval_count")),
            _count(payload.get("eval_count")),
        )


def make_dialect(provider: str, endpoint: Endpoint) -> Dialect:
    """Returns the dialect of a provider (``OpenAI`` or ``Ollama``) at an endpoint.

    The embedded model answers OpenAI's dialect, whatever the session calls it.
    """
    if provider == "Ollama" and not endpoint.embedded:
        return OllamaDialect(endpoint)
    return OpenAIDialect(endpoint)


def _response_format(schema: Mapping[str, Any], *, official: bool) -> dict[str, Any]:
    strict = strict_schema(schema) if official else None
    sent = dict(schema) if strict is None else strict
    return {
        "type": "json_schema",
        "json_schema": {
            "name": "answer",
            "schema": sent,
            "strict": strict is not None or not official,
        },
    }


def _text(content: Any) -> str:
    if content is None:
        return ""
    if not isinstance(content, str):
        raise GarbledAnswerError("its content is no text")
    return content.encode("utf-8", "replace").decode("utf-8")


def _finish(reason: Any) -> Finish:
    # A content filter or a refusal is a complete answer too, one that will not parse.
    return "length" if reason == "length" else "stop"


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
