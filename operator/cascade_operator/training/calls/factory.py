"""Models of a session as DSPy models, sharing one cache, one meter and one budget."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from cascade_operator.api.cascade import NodeSpec
from cascade_operator.api.endpoint import resolve_endpoint
from cascade_operator.api.errors import SpecError
from cascade_operator.api.keys import cache_key
from cascade_operator.api.models_spec import ModelSpec, ModelsSpec, StructuredOutput
from cascade_operator.api.quantity import parse_duration
from cascade_operator.training.calls.budget import BudgetCounters, BudgetExceeded, Price
from cascade_operator.training.calls.call_cache import SingleFlightCache
from cascade_operator.training.calls.dialects import ChatCall, make_dialect
from cascade_operator.training.calls.engine import CascadeEngine, CascadeLM, ModelSettings
from cascade_operator.training.calls.http_transport import HttpTransport, RetryPolicy
from cascade_operator.training.calls.meter import CallMeter
from cascade_operator.training.calls.schema import bound_schema
from cascade_operator.training.calls.secret import read_secret

# Nobody answers a greeting with this word unless a grammar makes him.
_PROBE_WORD: Final = "quokka"
_PROBE_SCHEMA: Final = {
    "type": "object",
    "properties": {"word": {"type": "string", "enum": [_PROBE_WORD]}},
    "required": ["word"],
}


@dataclass(frozen=True, slots=True)
class CallServices:
    """What all models of a process share.

    Attributes:
        namespace: The session's: part of each cache key.
        cache: Answers, shared with the other Jobs.
        meter: What was called.
        budget: The run's budget, or None.
        stop: Set when the Job has to leave.
        seed: Of answers and of retries' jitter.
        retries: How often a call is tried.
        environ: Environment variables; None is the process's own.
    """

    namespace: str
    cache: SingleFlightCache
    meter: CallMeter = field(default_factory=CallMeter)
    budget: BudgetCounters | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    seed: int = 42
    retries: RetryPolicy = RetryPolicy()  # noqa: RUF009 (frozen)
    environ: Mapping[str, str] | None = None


def make_engine(spec: ModelSpec, services: CallServices, *, structured: bool) -> CascadeEngine:
    """Builds the engine of one model. No call is made.

    Raises:
        SpecError: Its endpoint is no address.
    """
    environ = os.environ if services.environ is None else services.environ
    endpoint = resolve_endpoint(spec.endpoint, environ)
    reference = spec.api_key_secret_ref
    price = spec.price

    def api_key() -> str | None:
        return None if reference is None else read_secret(reference.name, reference.key, environ)

    return CascadeEngine(
        ModelSettings(
            model=spec.model,
            endpoint=endpoint,
            temperature=spec.temperature,
            max_tokens=spec.max_tokens,
            context_length=spec.context_length,
            seed=services.seed,
            structured=structured,
            price=Price(price.input_per_million, price.output_per_million) if price else Price(),
        ),
        dialect=make_dialect(spec.provider, endpoint),
        transport=HttpTransport(
            endpoint,
            provider=spec.provider,
            timeout=parse_duration(spec.timeout),
            api_key=api_key,
            max_parallel=spec.max_parallel_calls,
            stop=services.stop,
            retries=services.retries,
            seed=services.seed,
            on_failure=services.meter.server_failed,
        ),
        cache=services.cache,
        key_for=lambda digest: cache_key(services.namespace, digest),
        meter=services.meter,
        budget=services.budget,
        stop=services.stop,
    )


def make_lm(
    spec: ModelSpec, services: CallServices, *, structured: bool | None = None
) -> CascadeLM:
    """Builds a model for DSPy.

    Args:
        spec: The model; its endpoint is filled in.
        services: What the process shares.
        structured: What prepare's probe found; None asks the server where the session says Auto
            (an answer that the cache then holds for all Jobs).

    Raises:
        SpecError: Its endpoint is no address, or its server does not know the model.
        ServiceUnavailable: The server had to be asked and failed.
    """
    if structured is None:
        structured = _declared(spec)
    if structured is None:
        structured = probe_structured_output(spec, services)
    # The server's name for the model stands before the slash: DSPy refuses temperatures for
    # names it takes for OpenAI's, and looks for those in the last part.
    return CascadeLM(
        f"{spec.model}/cascade",
        engine=make_engine(spec, services, structured=structured),
        cache=False,
        num_retries=0,
        temperature=spec.temperature,
        max_tokens=spec.max_tokens,
    )


def lm_for_nodes(
    models: ModelsSpec,
    services: CallServices,
    *,
    structured: Mapping[ModelSpec, bool] | None = None,
) -> Callable[[NodeSpec], CascadeLM]:
    """Returns what ``Cascade`` asks for a node's model: its own, or else the session's task model.

    Nodes of the same model share one, and with it ``maxParallelCalls``.

    Args:
        models: The session's models.
        services: What the process shares.
        structured: What prepare's probe found for each model.
    """
    known: dict[ModelSpec, CascadeLM] = {}

    def lm_for(node: NodeSpec) -> CascadeLM:
        spec = node.model or models.task
        if spec not in known:
            known[spec] = make_lm(spec, services, structured=(structured or {}).get(spec))
        return known[spec]

    return lm_for


def probe_structured_output(spec: ModelSpec, services: CallServices) -> bool:
    """Whether the model's server holds answers to a JSON schema: one tiny call.

    The schema allows one word only, which the prompt does not ask for.

    Raises:
        ServiceUnavailable: The server failed.
        SpecError: It does not know the model.
    """
    declared = _declared(spec)
    if declared is not None:
        return declared
    engine = make_engine(spec, services, structured=True)
    call = ChatCall(
        model=spec.model,
        messages=(("user", "Greet me in one short sentence."),),
        temperature=0.0,
        max_tokens=64,
        schema=bound_schema(_PROBE_SCHEMA),
        seed=services.seed,
        context_length=spec.context_length,
    )
    try:
        answer = engine.answer(call)
    except BudgetExceeded:
        return False  # nothing can be asked any more, in whatever form
    except SpecError:
        # The server refuses the schema, or everything: without one it will say which.
        engine.answer(_without_schema(call))
        return False
    try:
        return bool(json.loads(answer.text) == {"word": _PROBE_WORD})
    except ValueError:
        return False


def _without_schema(call: ChatCall) -> ChatCall:
    return ChatCall(
        model=call.model,
        messages=call.messages,
        temperature=call.temperature,
        max_tokens=call.max_tokens,
        seed=call.seed,
        context_length=call.context_length,
    )


def _declared(spec: ModelSpec) -> bool | None:
    match spec.structured_output:
        case StructuredOutput.SCHEMA:
            return True
        case StructuredOutput.NONE:
            return False
    return None
