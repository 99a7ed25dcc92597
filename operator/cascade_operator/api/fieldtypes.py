"""The grammar of field types and signatures, without DSPy.

type      = base ["?"]
base      = "str" | "int" | "float" | "bool" | "json"
          | "list[" type "]" | "dict[str," type "]"
          | "Literal[" string {"," string} "]"
          | "{" name ":" type {"," name ":" type} "}"
signature = field {"," field} "->" field {"," field}
field     = name [":" type]          (untyped: str)
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final

MAX_TEXT: Final = 4096
MAX_DEPTH: Final = 8
MAX_FIELDS: Final = 32
SCALARS: Final = ("str", "int", "float", "bool", "json")

_TOKEN: Final = re.compile(
    r'\s*(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<string>"[^"\\\x00-\x1f]*"|\'[^\'"\\\x00-\x1f]*\')'
    r"|(?P<mark>->|[\[\]{}:,?]))"
)


@dataclass(frozen=True, slots=True)
class Scalar:
    """``str``, ``int``, ``float``, ``bool``, or ``json`` (any JSON value)."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of one type."""

    item: FieldType

    def __str__(self) -> str:
        return f"list[{self.item}]"


@dataclass(frozen=True, slots=True)
class MapOf:
    """A map from strings to one type."""

    value: FieldType

    def __str__(self) -> str:
        return f"dict[str, {self.value}]"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some strings."""

    values: tuple[str, ...]

    def __str__(self) -> str:
        return f"Literal[{', '.join(json.dumps(v, ensure_ascii=False) for v in self.values)}]"


@dataclass(frozen=True, slots=True)
class Record:
    """An object with named, typed fields."""

    fields: tuple[tuple[str, FieldType], ...]

    def __str__(self) -> str:
        return "{" + ", ".join(f"{name}: {kind}" for name, kind in self.fields) + "}"


@dataclass(frozen=True, slots=True)
class Optional_:  # noqa: N801 - Optional is taken
    """A type or null."""

    inner: FieldType

    def __str__(self) -> str:
        return f"{self.inner}?"


FieldType = Scalar | ListOf | MapOf | Choice | Record | Optional_


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a signature."""

    name: str
    type: FieldType
    description: str = ""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a node reads and what it writes."""

    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]

    def __str__(self) -> str:
        sides = (
            ", ".join(f"{f.name}: {f.type}" for f in side) for side in (self.inputs, self.outputs)
        )
        return " -> ".join(sides)


def parse_type(text: str) -> FieldType:
    """Parses one type.

    Raises:
        ValueError: With the position and what was expected.
    """
    parser = _Parser(text)
    result = parser.type(0)
    parser.end()
    return result


def parse_signature(text: str) -> Signature:
    """Parses ``request, n: int -> brief``.

    Raises:
        ValueError: With the position and what was expected.
    """
    parser = _Parser(text)
    inputs = parser.fields()
    parser.expect("->", "'->' between what the node reads and what it writes")
    outputs = parser.fields()
    parser.end()
    names = [f.name for f in (*inputs, *outputs)]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"the field {name!r} stands twice in the signature")
    return Signature(inputs, outputs)


class _Parser:
    """A recursive-descent parser over a bounded text."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_TEXT:
            raise ValueError(f"longer than {MAX_TEXT} characters")
        self._tokens: list[tuple[str, str, int]] = []
        at = 0
        end = len(text.rstrip())
        while at < end:
            match = _TOKEN.match(text, at)
            if match is None:
                raise ValueError(f"unexpected {text[at:].strip()[:1]!r} at position {at + 1}")
            kind = match.lastgroup or ""
            self._tokens.append((kind, match[kind], match.start(kind) + 1))
            at = match.end()
        self._at = 0
        self._end = end + 1

    def fields(self) -> tuple[Field, ...]:
        """Parses the fields of one side."""
        found = [self._field()]
        while self._take(","):
            found.append(self._field())
            if len(found) > MAX_FIELDS:
                raise ValueError(f"more than {MAX_FIELDS} fields on one side")
        return tuple(found)

    def type(self, depth: int) -> FieldType:
        """Parses a type at this depth of nesting."""
        if depth > MAX_DEPTH:
            raise ValueError(f"types nested deeper than {MAX_DEPTH}")
        base = self._base(depth)
        return Optional_(base) if self._take("?") else base

    def expect(self, mark: str, what: str) -> None:
        """Takes a mark or fails."""
        if not self._take(mark):
            raise self._error(what)

    def end(self) -> None:
        """Fails where text is left."""
        if self._at < len(self._tokens):
            raise self._error("the end")

    def _field(self) -> Field:
        name = self._name("a field's name")
        return Field(name, self.type(0) if self._take(":") else Scalar("str"))

    def _base(self, depth: int) -> FieldType:
        if self._take("{"):
            return self._record(depth)
        name = self._name(
            "a type: str, int, float, bool, json, list[...], dict[str, ...], "
            "Literal[...] or {name: type}"
        )
        if name in SCALARS:
            return Scalar(name)
        if name == "list":
            self.expect("[", "'[' after list")
            item = self.type(depth + 1)
            self.expect("]", "']' after the list's type")
            return ListOf(item)
        if name == "dict":
            self.expect("[", "'[' after dict")
            if self._name("str, the type of a dict's keys") != "str":
                raise self._error("str as the type of a dict's keys", back=1)
            self.expect(",", "',' after the type of the keys")
            value = self.type(depth + 1)
            self.expect("]", "']' after the dict's type")
            return MapOf(value)
        if name == "Literal":
            return self._choice()
        raise self._error(f"a type; {name!r} is none", back=1)

    def _record(self, depth: int) -> Record:
        fields: list[tuple[str, FieldType]] = []
        while True:
            name = self._name("a field's name")
            if name in dict(fields):
                raise self._error(f"another name; {name!r} stands twice", back=1)
            self.expect(":", f"':' and a type after {name}")
            fields.append((name, self.type(depth + 1)))
            if len(fields) > MAX_FIELDS:
                raise ValueError(f"more than {MAX_FIELDS} fields in a record")
            if not self._take(","):
                break
        self.expect("}", "'}' at the record's end")
        return Record(tuple(fields))

    def _choice(self) -> Choice:
        self.expect("[", "'[' after Literal")
        values: list[str] = []
        while True:
            kind, text, _ = self._peek()
            if kind != "string":
                raise self._error("a quoted string")
            self._at += 1
            values.append(text[1:-1])
            if not self._take(","):
                break
        self.expect("]", "']' after the choices")
        return Choice(tuple(dict.fromkeys(values)))

    def _peek(self) -> tuple[str, str, int]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("", "", self._end)

    def _take(self, mark: str) -> bool:
        if self._peek()[:2] != ("mark", mark):
            return False
        self._at += 1
        return True

    def _name(self, what: str) -> str:
        kind, text, _ = self._peek()
        if kind != "name":
            raise self._error(what)
        self._at += 1
        return text

    def _error(self, what: str, back: int = 0) -> ValueError:
        self._at -= back
        _, text, at = self._peek()
        found = f"{text!r}" if text else "the end"
        return ValueError(f"expected {what} at position {at}, found {found}")
