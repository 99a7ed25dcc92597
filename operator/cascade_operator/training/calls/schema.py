"""JSON schemas as constrained decoding takes them: without references, closed, and bounded.

Servers turn a schema into a grammar. An unbounded string in it lets a small model write until its
token limit; a reference or an open object is refused by some. DSPy drops the bounds a session
might declare, so they are put in here, for every call alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cascade_operator.api.errors import SpecError


@dataclass(frozen=True, slots=True)
class SchemaBounds:
    """What is put in where a schema states nothing.

    llama.cpp expands a repetition and refuses one beyond 2,000; Ollama's grammars are the same
    code. The bounds stay well below.

    Attributes:
        text: Characters of a string outside of lists.
        nested_text: Characters of a string inside a list, a map or a ``json`` value.
        items: Items of a list.
        nested_items: Items of a list within a list, a map or a ``json`` value.
        json_depth: Levels of lists and objects inside a ``json`` value.
    """

    text: int = 1_500
    nested_text: int = 500
    items: int = 32
    nested_items: int = 16
    json_depth: int = 2


DEFAULT_BOUNDS: Final = SchemaBounds()

MAX_DEPTH: Final = 32
"""Nesting of a schema; deeper ones are refused."""

# Words that help no server and that some refuse.
_DROPPED: Final = frozenset({"title", "default", "$defs", "definitions", "examples", "$schema"})


def bound_schema(
    schema: Mapping[str, Any], bounds: SchemaBounds = DEFAULT_BOUNDS
) -> dict[str, Any]:
    """Returns the schema with references inlined, objects closed and everything bounded.

    All declared properties are required (an optional one may be null), so that a server cannot
    leave out what a node must write.

    Raises:
        SpecError: The schema refers to itself or to nothing, or nests deeper than 32.
    """
    return _Bounder(schema, bounds).visit(schema, depth=0, nested=False)


def strict_schema(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns a bounded schema in the form of OpenAI's strict mode, or None if it has none.

    Strict mode knows no string lengths and no open maps. What cannot be said strictly is sent
    with ``strict: false``.
    """
    return None if _is_open(schema) else _without_lengths(schema)


class _Bounder:
    def __init__(self, root: Mapping[str, Any], bounds: SchemaBounds) -> None:
        self._root = root
        self._bounds = bounds

    def visit(self, schema: Any, *, depth: int, nested: bool) -> dict[str, Any]:
        if depth > MAX_DEPTH:
            raise _unusable("nests too deep, or refers to itself")
        if not isinstance(schema, Mapping) or not set(schema) - _DROPPED - {"description"}:
            return self._any_value(self._bounds.json_depth)
        if "$ref" in schema:
            return self.visit(self._resolve(schema["$ref"]), depth=depth + 1, nested=nested)
        out = {key: value for key, value in schema.items() if key not in _DROPPED}
        for word in ("anyOf", "oneOf", "allOf"):
            if word in out:
                out[word] = [self.visit(s, depth=depth + 1, nested=nested) for s in out[word]]
        match out.get("type"):
            case "string" if "enum" not in out and "const" not in out:
                limit = self._bounds.nested_text if nested else self._bounds.text
                out.setdefault("maxLength", limit)
            case "array":
                limit = self._bounds.nested_items if nested else self._bounds.items
                out.setdefault("maxItems", limit)
                out["items"] = self.visit(out.get("items"), depth=depth + 1, nested=True)
            case "object":
                self._close(out, depth=depth, nested=nested)
        return out

    def _close(self, out: dict[str, Any], *, depth: int, nested: bool) -> None:
        properties = out.get("properties")
        if isinstance(properties, Mapping):
            out["properties"] = {
                name: self.visit(inner, depth=depth + 1, nested=nested)
                for name, inner in properties.items()
            }
            out["required"] = list(properties)
            out["additionalProperties"] = False
        else:  # a map: any key, bounded values
            values = out.get("additionalProperties")
            values = values if isinstance(values, Mapping) else {}
            out["additionalProperties"] = self.visit(values, depth=depth + 1, nested=True)

    def _any_value(self, depth: int) -> dict[str, Any]:
        choices: list[dict[str, Any]] = [
            {"type": "string", "maxLength": self._bounds.nested_text},
            {"type": "number"},
            {"type": "boolean"},
            {"type": "null"},
        ]
        if depth > 0:
            inner = self._any_value(depth - 1)
            choices += [
                {"type": "array", "items": inner, "maxItems": self._bounds.nested_items},
                {"type": "object", "additionalProperties": inner},
            ]
        return {"anyOf": choices}

    def _resolve(self, reference: Any) -> Any:
        node: Any = self._root
        if not isinstance(reference, str) or not reference.startswith("#/"):
            raise _unusable(f"refers to {reference!r} outside of itself")
        for part in reference[2:].split("/"):
            node = node.get(part) if isinstance(node, Mapping) else None
        if node is None:
            raise _unusable(f"refers to {reference!r}, which it does not hold")
        return node


def _is_open(schema: Any) -> bool:
    if isinstance(schema, Mapping):
        if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
            return True
        return any(_is_open(inner) for inner in schema.values())
    return isinstance(schema, list) and any(_is_open(inner) for inner in schema)


def _without_lengths(schema: Any) -> Any:
    if isinstance(schema, Mapping):
        properties = schema.get("properties")
        out = {
            key: _without_lengths(inner)
            for key, inner in schema.items()
            if key not in {"minLength", "maxLength", "properties"}
        }
        if isinstance(properties, Mapping):  # a property may itself be called maxLength
            out["properties"] = {name: _without_lengths(s) for name, s in properties.items()}
        return out
    return [_without_lengths(inner) for inner in schema] if isinstance(schema, list) else schema


def _unusable(why: str) -> SpecError:
    return SpecError(
        f"an output type's JSON schema {why}",
        mend="Give the node plain field types, or set the model's structuredOutput to None.",
    )
