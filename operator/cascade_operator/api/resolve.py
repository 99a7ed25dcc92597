"""Fills in what a session leaves to the operator: agents, endpoints, image, Redis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from cascade_operator.api.cascade import CascadeSpec, NodeSpec, TierSpec
from cascade_operator.api.models_spec import EmbeddingSpec, ModelSpec, ModelsSpec, Provider
from cascade_operator.api.session import TrainingSessionSpec


@dataclass(frozen=True, slots=True)
class Defaults:
    """The operator's settings that sessions fall back to.

    A provider goes with its endpoint: it replaces the session's where that names no endpoint.

    Attributes:
        image: The workers' image.
        redis_url: Redis where a session names none.
        task_endpoint: Model server where a session names none.
        task_model: Model to use with that endpoint instead of the declared default; may be empty.
        task_provider: The dialect of that endpoint; None leaves the session's.
        embedding_endpoint: Embedding server where a session names none.
        embedding_model: Likewise for embeddings.
        embedding_provider: Likewise for embeddings.
    """

    image: str = "cascade-operator-worker:latest"
    redis_url: str = "redis://cascade-redis:6379"
    task_endpoint: str = "http://ollama:11434"
    task_model: str = ""
    embedding_endpoint: str = "http://ollama:11434"
    embedding_model: str = ""
    task_provider: Provider | None = None
    embedding_provider: Provider | None = None


def has_own_redis(spec: TrainingSessionSpec, defaults: Defaults) -> bool:
    """Whether a session brings a Redis of its own, whose password is not the operator's to read.

    One that names the operator's own by its address uses just that.

    Args:
        spec: The spec as declared.
        defaults: The operator's.
    """
    return spec.redis.url not in ("", defaults.redis_url)


PROMPT_TEMPERATURE: Final = 0.7
"""Proposals want variety, answers do not."""


def resolve_cascade(cascade: CascadeSpec) -> CascadeSpec:
    """Returns the cascade with the default agents filled in.

    A node that bears a default agent's name and has no fields of its own takes that agent's
    signature, and its instructions and adapter where it sets none.
    """
    return cascade.completed()


def resolve(spec: TrainingSessionSpec, defaults: Defaults) -> TrainingSessionSpec:
    """Returns the spec as a run's Jobs read it. Pure; resolving twice changes nothing."""
    models = spec.models
    prompt = models.prompt or ModelSpec()
    return spec.model_copy(
        update={
            "cascade": _resolve_cascade_models(resolve_cascade(spec.cascade), models, defaults),
            "models": models.model_copy(
                update={
                    "task": _at_endpoint(models.task, defaults),
                    "prompt": _at_endpoint(
                        inherit(prompt, models.task, temperature=PROMPT_TEMPERATURE), defaults
                    ),
                    "embedding": _resolve_embedding(models.embedding, defaults),
                }
            ),
            "image": spec.image or defaults.image,
            "redis": spec.redis.model_copy(update={"url": spec.redis.url or defaults.redis_url}),
        }
    )


def inherit(override: ModelSpec, base: ModelSpec, **instead: Any) -> ModelSpec:
    """Returns the override with what it leaves out taken from the base.

    Another server gets neither the base's endpoint nor its API key.

    Args:
        override: Its fields count where they were written.
        base: Gives the rest.
        **instead: Values that replace the base's.
    """
    written = {name: getattr(override, name) for name in override.model_fields_set}
    given = {name: getattr(base, name) for name in ModelSpec.model_fields} | instead
    if written.get("provider", base.provider) != base.provider:
        given["endpoint"] = ""
    if written.get("endpoint", given["endpoint"]) != base.endpoint:
        given["api_key_secret_ref"] = None
    return ModelSpec(**given | written)


def _resolve_cascade_models(
    cascade: CascadeSpec, models: ModelsSpec, defaults: Defaults
) -> CascadeSpec:
    def node(one: NodeSpec) -> NodeSpec:
        if one.model is None:
            return one
        model = _at_endpoint(inherit(one.model, models.task), defaults)
        return one.model_copy(update={"model": model})

    return CascadeSpec(
        tiers=[
            TierSpec(name=tier.name, code=tier.code, nodes=[node(one) for one in tier.nodes])
            for tier in cascade.tiers
        ]
    )


def _at_endpoint(model: ModelSpec, defaults: Defaults) -> ModelSpec:
    if model.endpoint:
        return model
    return model.model_copy(
        update={
            "endpoint": defaults.task_endpoint,
            "model": defaults.task_model or model.model,
            "provider": defaults.task_provider or model.provider,
        }
    )


def _resolve_embedding(model: EmbeddingSpec, defaults: Defaults) -> EmbeddingSpec:
    if model.endpoint:
        return model
    return model.model_copy(
        update={
            "endpoint": defaults.embedding_endpoint,
            "model": defaults.embedding_model or model.model,
            "provider": defaults.embedding_provider or model.provider,
        }
    )
