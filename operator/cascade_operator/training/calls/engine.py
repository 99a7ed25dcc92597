"""DSPy's engine of ours: one request in, one answer out, through cache, budget and meter."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import dspy
from dspy.lm15 import Message, Request, Response, TextPart, Usage

from cascade_operator.agents.abort import CallAborted
from cascade_operator.api.canonical import canonical_json
from cascade_operator.api.endpoint import Endpoint
from cascade_operator.api.errors import CascadeError, ServiceUnavailable, Terminated
from cascade_operator.training.calls.budget import BudgetCounters, Price, Settlement
from cascade_operator.training.calls.call_cache import SingleFlightCache
from cascade_operator.training.calls.dialects import (
    ChatAnswer,
    ChatCall,
    Dialect,
)
from cascade_operator.training.calls.failures import ContextOverflowError
from cascade_operator.training.calls.http_transport import Transport
from cascade_operator.training.calls.meter import CallMeter
from cascade_operator.training.calls.schema import bound_schema
from cascade_operator.training.calls.tally import count_call

_LOG = logging.getLogger(__name__)

KEY_VERSION: Final = 1
"""Counted up when a request's form changes, so that old answers are not taken for new ones."""

_rollout: ContextVar[int | None] = ContextVar("cascade_rollout", default=None)


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What an engine sends with each request of one model.

    Attributes:
        model: The model's name at its server.
        endpoint: Its server.
        temperature: Unless the request brings its own.
        max_tokens: Unless the request brings its own.
        context_length: Tokens of context, or None for the server's own.
        seed: For servers that can repeat an answer; None sends none.
        structured: Whether the server holds answers to a JSON schema.
        price: For the budget.
    """

    model: str
    endpoint: Endpoint
    temperature: float = 0.0
    max_tokens: int = 1024
    context_length: int | None = None
    seed: int | None = None
    structured: bool = True
    price: Price = Price()  # noqa: RUF009 (frozen)


class CascadeEngine:
    """What ``dspy.LM(engine=...)`` calls. Safe to use from several threads.

    Whatever goes wrong leaves as :class:`CallAborted`, which DSPy cannot turn into a score.

    Args:
        settings: The model's.
        dialect: Its wire form.
        transport: The way to its server.
        cache: Shared by all engines of the process.
        key_for: Digest -> the cache's key.
        meter: Counts.
        budget: The run's budget; None where nothing is limited.
        stop: Set when the Job has to leave.
    """

    def __init__(
        self,
        settings: ModelSettings,
        *,
        dialect: Dialect,
        transport: Transport,
        cache: SingleFlightCache,
        key_for: Callable[[str], str],
        meter: CallMeter,
        budget: BudgetCounters | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self.settings = settings
        self._dialect = dialect
        self._transport = transport
        self._cache = cache
        self._key_for = key_for
        self._meter = meter
        self._budget = budget
        self._stop = stop or threading.Event()
        # Read by dspy.clients.capabilities; unset means that a schema is never sent.
        self.supports_response_schema = settings.structured
        self.supported_params = frozenset({"temperature", "max_tokens", "response_format"})

    def __deepcopy__(self, _memo: Any) -> CascadeEngine:
        # DSPy copies models freely; connections and caches stay one.
        return self

    def complete(self, request: Request) -> Response:
        """Answers one request (DSPy's contract).

        Raises:
            CallAborted: With ServiceUnavailable, SpecError, BudgetExceeded or Terminated in it.
        """
        try:
            answer = self.answer(self.call_of(request))
        except CascadeError as error:
            raise CallAborted(error) from error
        return Response(
            id=None,
            model=request.model,
            message=Message.assistant([TextPart(answer.text)]),
            finish_reason=answer.finish,
            usage=Usage(input_tokens=answer.input_tokens, output_tokens=answer.output_tokens),
        )

    def call_of(self, request: Request) -> ChatCall:
        """Returns the call a request stands for, schema bounded and parameters filled in."""
        config, own = request.config, self.settings
        messages = [("system", _text(request.system))] if request.system else []
        messages += [(message.role, _text(message.parts)) for message in request.messages]
        rollout, seed = _rollout.get(), own.seed
        if rollout is not None:
            # A fixed seed would answer every rollout alike.
            seed = (seed or 0) + rollout
        return ChatCall(
            model=own.model,
            messages=tuple(messages),
            temperature=own.temperature if config.temperature is None else config.temperature,
            max_tokens=own.max_tokens if config.max_tokens is None else config.max_tokens,
            schema=_schema(config.response_format) if own.structured else None,
            seed=seed,
            context_length=own.context_length,
        )

    def answer(self, call: ChatCall) -> ChatAnswer:
        """Answers a call from the cache, or else from the server.

        Raises:
            ServiceUnavailable: The server failed.
            SpecError: It does not know the model, or refuses the request.
            BudgetExceeded: Nothing is left for another call.
            Terminated: The Job was told to stop.
        """
        if self._stop.is_set():
            raise Terminated("told to stop before the next model call")
        key = self._key_for(self.digest(call))
        settlement = None if self._budget is None else self._budget.settlement()
        try:
            fetched = self._cache.fetch(
                key,
                lambda: self._ask(call, settlement).to_bytes(),
                acceptable=_is_answer,
                along=settlement,
            )
        except ContextOverflowError as error:
            _LOG.warning("no answer: %s", error)
            self._meter.overflowed()
            return ChatAnswer("", "length", 0, 0)
        answer = ChatAnswer.from_bytes(fetched.value)
        tokens = answer.input_tokens + answer.output_tokens
        count_call(tokens)
        if fetched.source != "computed":
            self._meter.hit(tokens, waited=fetched.source == "wait")
        if answer.finish == "length":
            self._meter.truncated()
        return answer

    def digest(self, call: ChatCall) -> str:
        """Returns the SHA-256 (hex) of everything that can change the answer."""
        parts = {
            "version": KEY_VERSION,
            "dialect": self._dialect.name,
            "endpoint": self.settings.endpoint.logical,
            "rollout": _rollout.get(),
            "body": self._dialect.body(call),
        }
        return hashlib.sha256(canonical_json(parts).encode("utf-8", "replace")).hexdigest()

    def _ask(self, call: ChatCall, settlement: Settlement | None) -> ChatAnswer:
        if self._budget is not None:
            self._budget.reserve_call()
        started = time.monotonic()
        try:
            answer = self._transport.post(
                self._dialect.url(),
                self._dialect.body(call),
                model=call.model,
                read=self._dialect.read,
            )
        except BaseException:
            self._give_back()
            raise
        self._meter.called(time.monotonic() - started, answer.input_tokens, answer.output_tokens)
        if settlement is not None:
            settlement.took(answer.input_tokens, answer.output_tokens, self.settings.price)
        return answer

    def _give_back(self) -> None:
        try:
            if self._budget is not None:
                self._budget.return_call()
        except ServiceUnavailable as error:  # the first error is the one to tell
            _LOG.debug("%s", error)


class CascadeLM(dspy.LM):
    """DSPy's model, which tells the engine the rollout: DSPy strips it from the request."""

    def __call__(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        """Calls the model; see ``dspy.LM``."""
        rollout = kwargs.get("rollout_id", self.kwargs.get("rollout_id"))
        token = _rollout.set(rollout)
        try:
            return super().__call__(prompt, messages=messages, **kwargs)
        finally:
            _rollout.reset(token)


def _is_answer(value: bytes) -> bool:
    # Cut-off answers are kept too: the same request is cut off again, after as many tokens.
    try:
        ChatAnswer.from_bytes(value)
    except ValueError:
        return False
    return True


def _schema(response_format: Mapping[str, Any] | None) -> dict[str, Any] | None:
    schema = (response_format or {}).get("schema")
    return bound_schema(schema) if isinstance(schema, Mapping) else None


def _text(parts: Any) -> str:
    if isinstance(parts, str):
        return parts
    return "".join(part.text for part in parts if isinstance(part, TextPart))
