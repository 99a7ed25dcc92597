"""What a field may hold, in words, from its JSON schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cascade_operator.api.crd import inlined
from cascade_operator.api.scalars import PATTERN_WORDS
from reference.markdown import code, prose

Schema = Mapping[str, Any]


def type_words(schema: Schema, definitions: Schema) -> str:
    """Returns the type and its bounds as Markdown: ``integer, 1 to 64``."""
    flat = inlined(schema, definitions)
    if "enum" in flat:
        return "one of " + ", ".join(code(str(one)) for one in flat["enum"])
    if flat.get("x-kubernetes-int-or-string"):
        return "quantity or integer, such as `500m` or `2`"
    if flat.get("x-kubernetes-preserve-unknown-fields"):
        return "object, taken as it is"
    kind = flat.get("type", "object")
    if kind == "array":
        return _list(flat, definitions)
    if kind == "object":
        return _map(flat, definitions)
    return {"string": _string, "integer": _number, "number": _number}.get(kind, _named)(flat)


def _named(flat: Schema) -> str:
    return str(flat["type"])


def _string(flat: Schema) -> str:
    if flat.get("format") == "date-time":
        return "time, as in RFC 3339"
    words = PATTERN_WORDS.get(flat.get("pattern", ""))
    name = prose(words) if words else "string"
    if not words and "pattern" in flat:
        name += f" that matches {code(flat['pattern'])}"
    least, most = flat.get("minLength", 0), flat.get("maxLength")
    if most is not None:
        name += f", {f'{least} to {most}' if least else f'up to {most}'} characters"
    return name


def _number(flat: Schema) -> str:
    words = str(flat["type"])
    low = flat.get("minimum", flat.get("exclusiveMinimum"))
    high = flat.get("maximum", flat.get("exclusiveMaximum"))
    over, under = "exclusiveMinimum" in flat, "exclusiveMaximum" in flat
    if low is not None and high is not None and not (over or under):
        return f"{words}, {_figure(low)} to {_figure(high)}"
    if low is not None:
        words += f", {'over' if over else 'at least'} {_figure(low)}"
    if high is not None:
        words += f", {'under' if under else 'at most'} {_figure(high)}"
    return words


def _figure(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e6 else f"{int(value):,}"


def _list(flat: Schema, definitions: Schema) -> str:
    items = inlined(flat.get("items", {}), definitions)
    inner = "objects" if "properties" in items else type_words(items, definitions)
    words = f"list of {inner}"
    least, most = flat.get("minItems", 0), flat.get("maxItems")
    if most is not None:
        words += f"; {f'{least} to {most}' if least else f'up to {most}'} entries"
    return words


def _map(flat: Schema, definitions: Schema) -> str:
    values = list(flat.get("patternProperties", {}).values()) or [flat.get("additionalProperties")]
    if "properties" in flat or not isinstance(values[0], Mapping):
        return "object"
    words = "map of strings to strings"
    inner = type_words(values[0], definitions)
    if not inner.startswith("string"):
        words = f"map; values: {inner}"
    return f"{words}; up to {flat['maxProperties']} entries" if "maxProperties" in flat else words
