"""A chart's ``values.yaml``, read with its comments: the one source of its schema and its table.

Above each key stand its description (``# -- ...``, over several lines), where the default does
not say enough its JSON schema (``# @schema {...}``), and, before the first key of a part of the
table, that part's title (``# @section ...``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

from cascade_operator.api.errors import SpecError

_TYPES: Final = {bool: "boolean", int: "integer", float: "number", str: "string"}
_SECTION, _SCHEMA, _DOC = "# @section ", "# @schema ", "# -- "

OF_A_PARENT: Final[dict[str, dict[str, Any]]] = {
    "global": {"type": "object", "description": "Values that a parent chart shares; not read."},
    "enabled": {
        "type": "boolean",
        "description": "For the condition of a parent chart's dependency; not read.",
    },
}
"""What Helm adds to a dependency's values: no schema without unknown keys may refuse them."""


@dataclass(frozen=True, slots=True)
class Value:
    """One key that has a value of its own.

    Attributes:
        path: The keys that lead to it.
        default: Its value.
        doc: What it is.
        schema: What is said of it beside the default's type.
        section: The title it stands under.
    """

    path: tuple[str, ...]
    default: Any
    doc: str
    schema: dict[str, Any]
    section: str


def read_values(text: str) -> list[Value]:
    """Reads the values in their order.

    Raises:
        SpecError: A key has no description or a schema that is no JSON; the message names it.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise SpecError("the values are no map", mend="write keys with values")
    return list(_Reader(text).read(root, ()))


def values_schema(values: list[Value]) -> dict[str, Any]:
    """Returns the JSON schema (draft 7, which Helm reads): every key, and none besides."""
    schema = _map()
    schema = {"$schema": "http://json-schema.org/draft-07/schema#", **schema}
    for value in values:
        parent = schema
        for key in value.path[:-1]:
            parent = parent["properties"].setdefault(key, _map())
        parent["properties"][value.path[-1]] = _schema_of(value)
    schema["properties"].update(OF_A_PARENT)
    return schema


def values_table(values: list[Value]) -> str:
    """Returns the values as Markdown: a table for each section."""
    text, section = "", ""
    for value in values:
        if value.section != section:
            section = value.section
            text += f"\n### {section}\n\n| key | default | what it is |\n|---|---|---|\n"
        name, default = ".".join(value.path), json.dumps(value.default, ensure_ascii=False)
        cells = (f"`{name}`", f"`{default}`", value.doc)
        text += f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"
    return text.lstrip()


class _Reader:
    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()
        self._section = ""

    def read(self, node: yaml.MappingNode, path: tuple[str, ...]) -> Iterator[Value]:
        for key, content in node.value:
            below = (*path, str(key.value))
            doc, schema = self._comments(key.start_mark.line, below)
            # A map with a schema of its own holds whatever that says, and is one value.
            if isinstance(content, yaml.MappingNode) and not schema:
                yield from self.read(content, below)
                continue
            if not doc:
                raise SpecError(
                    f"{'.'.join(below)} has no description", mend="write `# -- ...` above it"
                )
            default = yaml.safe_load(yaml.serialize(content))
            yield Value(below, default, doc, schema, self._section)

    def _comments(self, line: int, path: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
        """Returns what the comments right above a line say."""
        first = line
        while first and self._lines[first - 1].lstrip().startswith("#"):
            first -= 1
        # A section's title may stand one empty line above.
        for above in self._lines[max(0, first - 2) : line]:
            if above.lstrip().startswith(_SECTION):
                self._section = above.strip().removeprefix(_SECTION)
        doc: list[str] = []
        schema: dict[str, Any] = {}
        for one in map(str.strip, self._lines[first:line]):
            if one.startswith(_DOC):
                doc = [one.removeprefix(_DOC)]
            elif one.startswith(_SCHEMA):
                schema = _json(one.removeprefix(_SCHEMA), path)
            elif doc:
                doc.append(one.removeprefix("#").strip())
        return " ".join(doc), schema


def _json(text: str, path: tuple[str, ...]) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise SpecError(
            f"the schema of {'.'.join(path)} is no JSON: {error}", mend="write `# @schema {...}`"
        ) from error
    if not isinstance(found, dict):
        raise SpecError(f"the schema of {'.'.join(path)} is no object", mend="write {...}")
    return found


def _map() -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": {}}


def _schema_of(value: Value) -> dict[str, Any]:
    if isinstance(value.default, list):
        kind: Any = "array"
    else:
        kind = _TYPES.get(type(value.default))
    schema = {"description": value.doc, **value.schema}
    if "type" not in schema and kind is not None:
        schema["type"] = kind
    return schema
