"""Field types of the API as Python types, and a node's fields as a DSPy signature."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Optional

import dspy
from pydantic import BaseModel, ConfigDict, Field, create_model

from cascade_operator.api.cascade import NodeSpec
from cascade_operator.api.fieldtypes import (
    Choice,
    FieldType,
    ListOf,
    MapOf,
    Optional_,
    Record,
    Scalar,
)
from cascade_operator.api.fieldtypes import Field as ApiField

_SCALARS: Final[Mapping[str, Any]] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "json": Any,
}

REASONING: Final = "reasoning"
"""The field that a chain-of-thought node writes before its own."""

# What Predict takes out of its keyword arguments before it looks at the fields.
_TAKEN: Final = frozenset(
    {"self", "signature", "demos", "config", "lm", "prediction", "new_signature"}
)


class RecordModel(BaseModel):
    """Base of the models made for record types: lenient where a model's answer may be loose."""

    model_config = ConfigDict(
        extra="ignore",
        populate_by_name=True,
        coerce_numbers_to_str=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )


@dataclass(frozen=True, slots=True)
class NodeSignature:
    """A node's fields as DSPy takes them.

    Attributes:
        signature: The DSPy signature, with the node's declared instructions.
        inputs: Field name of the session -> field name in the signature.
        outputs: The same for what the node writes.
        optional: Names (of the session) of inputs that may be absent.
    """

    signature: type[dspy.Signature]
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    optional: frozenset[str]


def python_type(kind: FieldType, name: str = "value") -> Any:
    """Returns the Python type of a field type; records become pydantic models.

    Args:
        kind: The parsed type.
        name: What the models are named after; each record gets a class of its own, because
            DSPy's BAML rendering takes a class that occurs twice for a recursive one.
    """
    match kind:
        case Scalar():
            return _SCALARS[kind.name]
        case ListOf():
            return list[python_type(kind.item, f"{name}_item")]  # type: ignore[misc]
        case MapOf():
            return dict[str, python_type(kind.value, f"{name}_value")]  # type: ignore[misc]
        case Choice():
            return Literal[tuple(kind.values)]
        case Optional_():
            return Optional[python_type(kind.inner, name)]  # noqa: UP045 (a runtime value)
        case Record():
            return _record(kind, name)


def _record(kind: Record, name: str) -> type[BaseModel]:
    names = _safe_names((field for field, _ in kind.fields), taken=set(dir(RecordModel)))
    fields: dict[str, Any] = {}
    for field, inner in kind.fields:
        safe = names[field]
        default = None if isinstance(inner, Optional_) else ...
        fields[safe] = (
            python_type(inner, f"{name}_{safe}"),
            Field(default) if safe == field else Field(default, alias=field),
        )
    title = "".join(part.capitalize() for part in re.split(r"\W|_", name) if part) or "Value"
    return create_model(title, __base__=RecordModel, **fields)


def node_signature(node: NodeSpec) -> NodeSignature:
    """Builds the DSPy signature of a node.

    Names that DSPy or pydantic would trip over get an underscore at their end, in the prompt
    too; what flows between nodes keeps the session's names.
    """
    parsed = node.parsed
    # An input and an output of one name would be one field to DSPy: they are told apart here.
    taken = set(_TAKEN) | set(dir(dspy.Signature)) | set(dir(type(dspy.Signature)))
    if node.module == "ChainOfThought":
        taken.add(REASONING)
    inputs = _safe_names((one.name for one in parsed.inputs), taken=taken)
    outputs = _safe_names((one.name for one in parsed.outputs), taken=taken | set(inputs.values()))
    fields: dict[str, Any] = {
        inputs[one.name]: (python_type(one.type, one.name), dspy.InputField(**_described(one)))
        for one in parsed.inputs
    }
    fields |= {
        outputs[one.name]: (python_type(one.type, one.name), dspy.OutputField(**_described(one)))
        for one in parsed.outputs
    }
    signature = dspy.Signature(fields)
    if node.instructions:
        signature = signature.with_instructions(node.instructions)
    optional = frozenset(one.name for one in parsed.inputs if isinstance(one.type, Optional_))
    return NodeSignature(signature, inputs, outputs, optional)


def _described(one: ApiField) -> dict[str, str]:
    return {"desc": one.description} if one.description else {}


def _safe_names(names: Iterable[str], *, taken: set[str]) -> dict[str, str]:
    safe: dict[str, str] = {}
    for name in names:
        candidate = re.sub(r"\W", "_", name, flags=re.ASCII).lstrip("_") or "field"
        if candidate[0].isdigit():
            candidate = f"field_{candidate}"
        while keyword.iskeyword(candidate) or candidate in taken or candidate in safe.values():
            candidate += "_"
        safe[name] = candidate
    return safe
