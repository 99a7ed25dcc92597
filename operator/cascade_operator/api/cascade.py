"""`spec.cascade`: tiers of nodes, each a signature with instructions."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from functools import cache, cached_property
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field

from cascade_operator.api.base import ApiModel, NodeName
from cascade_operator.api.default_agents import DEFAULT_AGENT_BY_NAME, DEFAULT_AGENTS
from cascade_operator.api.fieldtypes import Field as SignatureField
from cascade_operator.api.fieldtypes import Signature, parse_signature, parse_type
from cascade_operator.api.models_spec import INHERITS, ModelSpec
from cascade_operator.api.scalars import FieldName, ModuleName

_Model = TypeVar("_Model", bound=ApiModel)


class Adapter(StrEnum):
    """How a prompt is laid out and an answer is read."""

    CHAT = "Chat"
    JSON = "JSON"
    BAML = "BAML"


def _type_text(text: str) -> str:
    parse_type(text)
    return text


def _signature_text(text: str) -> str:
    if text:
        parse_signature(text)
    return text


class FieldSpec(ApiModel):
    """One typed field of a node, where the signature's short form says too little."""

    name: FieldName = Field(description="The field's name.")
    type: Annotated[str, AfterValidator(_type_text)] = Field(
        "str",
        min_length=1,
        max_length=1024,
        description="str, int, float, bool, json, list[T], dict[str, T], Literal[...], "
        "{name: T}; T? where it may be absent.",
    )
    description: str = Field("", max_length=1024, description="What the model is told about it.")


class NodeOptimizerSpec(ApiModel):
    """What differs for one node in the search."""

    candidates: int | None = Field(
        None, ge=1, le=64, description="Candidates of this node. Absent: the session's."
    )
    max_bootstrapped_demonstrations: int | None = Field(
        None, ge=0, le=16, description="Bootstrapped demonstrations. Absent: the session's."
    )
    max_labeled_demonstrations: int | None = Field(
        None, ge=0, le=16, description="Recorded demonstrations. Absent: the session's."
    )


class NodeSpec(ApiModel):
    """One agent."""

    name: NodeName = Field(description="The node's name; traces use it as a key.")
    signature: Annotated[str, AfterValidator(_signature_text)] = Field(
        "",
        max_length=4096,
        description="What it reads and writes: `request -> brief`, or typed: `n: int -> ok: bool`. "
        "A default agent's name needs none.",
    )
    inputs: list[FieldSpec] = Field(
        default_factory=list, max_length=32, description="Typed inputs, in place of `signature`."
    )
    outputs: list[FieldSpec] = Field(
        default_factory=list, max_length=32, description="Typed outputs, in place of `signature`."
    )
    instructions: str = Field(
        "", max_length=16384, description="The declared instructions: the baseline's."
    )
    module: ModuleName = Field(
        "Predict",
        description="Predict, ChainOfThought, or `package:attribute` in the session's image.",
    )
    adapter: Adapter = Field(Adapter.CHAT, description="Prompt layout: Chat, JSON or BAML.")
    model: ModelSpec | None = Field(
        None,
        description="A model of its own; what it leaves out is the task model's.",
        json_schema_extra=INHERITS,
    )
    optimizer: NodeOptimizerSpec | None = Field(
        None, description="What differs for this node in the search."
    )

    @property
    def is_default_agent(self) -> bool:
        """Whether it names a default agent and leaves that agent's fields as they are."""
        own = self.signature or self.inputs or self.outputs
        return not own and self.name in DEFAULT_AGENT_BY_NAME

    def completed(self) -> NodeSpec:
        """Returns the node with what a default agent's name says filled in."""
        if not self.is_default_agent:
            return self
        agent = DEFAULT_AGENT_BY_NAME[self.name]
        adapter = self.adapter if "adapter" in self.model_fields_set else Adapter(agent.adapter)
        return _with(
            self,
            signature=agent.signature,
            instructions=self.instructions or agent.instructions,
            adapter=adapter,
        )

    @cached_property
    def parsed(self) -> Signature:
        """The node's signature.

        Raises:
            ValueError: It does not parse; validation reports it first.
        """
        if self.signature:
            return parse_signature(self.signature)
        if self.is_default_agent:
            return parse_signature(DEFAULT_AGENT_BY_NAME[self.name].signature)
        return Signature(*(tuple(_field(f) for f in side) for side in (self.inputs, self.outputs)))


class TierSpec(ApiModel):
    """Nodes that read what earlier tiers wrote, and not each other."""

    name: NodeName = Field(description="The tier's name.")
    code: int = Field(ge=0, le=39, description="Its two-digit code, ascending: 00-39.")
    nodes: list[NodeSpec] = Field(min_length=1, max_length=6, description="Its nodes.")


class CascadeSpec(ApiModel):
    """Tiers in order. Default: the four built-in agents."""

    tiers: list[TierSpec] = Field(
        default_factory=list, max_length=6, description="The tiers. Empty: the four default agents."
    )

    @cached_property
    def nodes(self) -> tuple[NodeSpec, ...]:
        """All nodes in cascade order, completed: the place here is the two-digit position."""
        return tuple(self._walk())

    def completed(self) -> CascadeSpec:
        """Returns the cascade with default agents filled in. Pure; twice changes nothing."""
        if not self.tiers:
            return CascadeSpec(tiers=list(_default_tiers()))
        return _with(
            self,
            tiers=[
                _with(tier, nodes=[node.completed() for node in tier.nodes]) for tier in self.tiers
            ],
        )

    def node(self, name: str) -> NodeSpec:
        """Returns the node with this name.

        Raises:
            KeyError: There is none.
        """
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    def initial_fields(self) -> tuple[str, ...]:
        """Names of the fields that a trace starts from: what the first tier reads."""
        first = (self.tiers or _default_tiers())[0]
        names = (field.name for node in first.nodes for field in node.parsed.inputs)
        return tuple(dict.fromkeys(names))

    def _walk(self) -> Iterator[NodeSpec]:
        for tier in self.tiers or _default_tiers():
            for node in tier.nodes:
                yield node.completed()


def _field(spec: FieldSpec) -> SignatureField:
    return SignatureField(spec.name, parse_type(spec.type), spec.description)


@cache
def _default_tiers() -> tuple[TierSpec, ...]:
    return tuple(
        TierSpec(
            name=agent.tier,
            code=agent.code,
            nodes=[
                NodeSpec(
                    name=agent.name,
                    signature=agent.signature,
                    instructions=agent.instructions,
                    adapter=Adapter(agent.adapter),
                )
            ],
        )
        for agent in DEFAULT_AGENTS
    )


def _with(model: _Model, **values: Any) -> _Model:
    # Not model_copy: that would carry cached properties of the old values along.
    kept = {name: getattr(model, name) for name in model.model_fields_set}
    return type(model)(**kept | values)
