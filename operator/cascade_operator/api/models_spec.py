"""`spec.models`: who answers, who proposes, who embeds, and how vectors are reduced."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from pydantic import Field, JsonValue

from cascade_operator.api.base import ApiModel, Duration
from cascade_operator.api.scalars import Endpoint, SecretKey, Subdomain

INHERITS: Final[dict[str, JsonValue]] = {"x-inherits": True}
"""Marks a field whose absent parts come from another field, so a default would hide them."""


class Provider(StrEnum):
    """The dialect a server speaks."""

    OLLAMA = "Ollama"
    OPENAI = "OpenAI"


class StructuredOutput(StrEnum):
    """Whether answers are forced into a JSON schema by the server."""

    AUTO = "Auto"
    SCHEMA = "Schema"
    NONE = "None"


class ReductionMethod(StrEnum):
    """How 256 dimensions become 64."""

    UMAP = "UMAP"
    PCA = "PCA"
    MATRYOSHKA = "Matryoshka"


class SecretKeyRef(ApiModel):
    """One key of a Secret in the session's namespace."""

    name: Subdomain = Field(description="Name of the Secret in the session's namespace.")
    key: SecretKey = Field("token", description="Key inside the Secret.")


class Price(ApiModel):
    """What a model costs, for `budget.maxCost`."""

    input_per_million: float = Field(
        0.0,
        ge=0,
        le=100000,
        description="Cost of a million input tokens, in the budget's currency.",
    )
    output_per_million: float = Field(
        0.0, ge=0, le=100000, description="Cost of a million output tokens, in the same currency."
    )


class ModelSpec(ApiModel):
    """A chat model behind a server."""

    provider: Provider = Field(
        Provider.OLLAMA,
        description="Dialect of the server: Ollama (/api/chat) or OpenAI (/v1/chat/completions).",
    )
    model: str = Field(
        "llama3.2:3b", min_length=1, max_length=253, description="The model's name on its server."
    )
    endpoint: Endpoint = Field(
        "",
        description="The server's URL, with or without /v1. Empty: the operator's default.",
    )
    api_key_secret_ref: SecretKeyRef | None = Field(
        None, description="Secret with the API key; it is mounted into the worker as a file."
    )
    temperature: float = Field(0.0, ge=0, le=2, description="Sampling temperature.")
    max_tokens: int = Field(1024, ge=1, le=131072, description="Tokens of one answer, at most.")
    timeout: Duration = Field("120s", description="Time for one answer, at most.")
    context_length: int = Field(
        8192,
        ge=256,
        le=2097152,
        description="Context window to ask an Ollama server for, in tokens.",
    )
    structured_output: StructuredOutput = Field(
        StructuredOutput.AUTO,
        description="Whether the server forces answers into a JSON schema: Auto asks it once.",
    )
    max_parallel_calls: int = Field(
        2, ge=1, le=256, description="Requests that one Job keeps in flight, at most."
    )
    price: Price | None = Field(None, description="What tokens cost, for budget.maxCost.")


class EmbeddingSpec(ApiModel):
    """An embedding model behind a server."""

    provider: Provider = Field(
        Provider.OLLAMA, description="Dialect: Ollama (/api/embed) or OpenAI (/v1/embeddings)."
    )
    endpoint: Endpoint = Field("", description="The server's URL. Empty: the operator's default.")
    model: str = Field(
        "nomic-embed-text:v1.5",
        min_length=1,
        max_length=253,
        description="The embedding model's name on its server.",
    )
    dimensions: int = Field(
        256,
        ge=8,
        le=4096,
        description="Dimensions kept of each vector (layer norm, cut, unit length).",
    )
    timeout: Duration = Field("120s", description="Time for one batch, at most.")
    api_key_secret_ref: SecretKeyRef | None = Field(
        None, description="Secret with the API key; it is mounted into the worker as a file."
    )


class ReductionSpec(ApiModel):
    """How the stored vectors are reduced."""

    method: ReductionMethod = Field(
        ReductionMethod.UMAP,
        description="UMAP, PCA, or Matryoshka (cut and renormalise).",
    )
    dimensions: int = Field(64, ge=2, le=1024, description="Dimensions after the reduction.")


class ModelsSpec(ApiModel):
    """The models of a session."""

    task: ModelSpec = Field(
        default_factory=ModelSpec, description="The model that the cascade's nodes ask."
    )
    prompt: ModelSpec | None = Field(
        None,
        description="The model that proposes instructions. What it leaves out is the task "
        "model's, but for the temperature: 0.7.",
        json_schema_extra=INHERITS,
    )
    embedding: EmbeddingSpec = Field(
        default_factory=EmbeddingSpec, description="The model that embeds texts."
    )
    reduction: ReductionSpec = Field(
        default_factory=ReductionSpec, description="How vectors are reduced for storage."
    )
