"""What is wrong with a session, in the words of its fields."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from cascade_operator.api.scalars import PATTERN_WORDS

MAX_PROBLEMS: Final = 50
_SHOWN: Final = 80

_KINDS: Final[Mapping[str, str]] = {
    "string_type": "must be a string",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be an object with named fields",
    "model_type": "must be an object with named fields",
    "model_attributes_type": "must be an object with named fields",
}


_BOUNDS: Final[Mapping[str, str]] = {
    "greater_than_equal": "must be at least {ge:g}",
    "greater_than": "must be more than {gt:g}",
    "less_than_equal": "must be at most {le:g}",
    "less_than": "must be less than {lt:g}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "needs at least {min_length} entries",
    "too_long": "may have at most {max_length} entries",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One wrong field.

    Attributes:
        path: Where: ``spec.cascade.tiers[1].nodes[0].signature``.
        value: What stands there, shortened; empty where nothing does.
        message: What is wrong with it.
        mend: What to do; may be empty.
    """

    path: str
    value: str
    message: str
    mend: str = ""

    def __str__(self) -> str:
        if not self.path:
            return self.message
        shown = f" is {self.value}:" if self.value else ":"
        return f"{self.path}{shown} {self.message}"


def show(value: Any) -> str:
    """Returns a value as JSON, short enough for a line."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, TypeError, RecursionError):
        text = f"({type(value).__name__})"
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns ``did you mean 'trials'?``, or an empty text where nothing is near."""
    by_lower = {one.lower(): one for one in known}
    near = get_close_matches(name[:64].lower(), by_lower, n=1, cutoff=0.6)
    return f"did you mean {by_lower[near[0]]!r}?" if near else ""


def problems_of(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Translates pydantic's findings into the API's language."""
    details = error.errors(include_url=False)[:MAX_PROBLEMS]
    return [_problem(one, model) for one in details]


def dotted(location: Sequence[int | str]) -> str:
    """Returns a location as users write it: ``spec.groups.include[0][1]``."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part != "[key]":
            path += f".{part}" if path else part
    return path


def _problem(found: ErrorDetails, model: type[BaseModel]) -> Problem:
    location = found["loc"]
    kind, context = found["type"], found.get("ctx", {})
    path, value = dotted(location), show(found["input"])
    name = str(location[-1]) if location else ""
    if kind == "missing":
        return Problem(path, "", "is required", f"add {name!r}")
    if kind == "extra_forbidden":
        known = _fields_at(model, location[:-1])
        here = dotted(location[:-1]) or "the object"
        others = f"the fields of {here} are {', '.join(known)}" if known else ""
        return Problem(
            path, value, "is not a field of a TrainingSession", did_you_mean(name, known) or others
        )
    if kind in ("enum", "literal_error"):
        expected = str(context.get("expected", "")).replace("'", "")
        choices = expected.replace(" or ", ", ").split(", ")
        text = found["input"] if isinstance(found["input"], str) else ""
        message = f"must be {'one of ' if len(choices) > 1 else ''}{expected}"
        return Problem(path, value, message, did_you_mean(text, choices))
    if kind in _KINDS:
        return Problem(path, value, _KINDS[kind], _type_mend(kind, found["input"]))
    return Problem(path, value, _bound(kind, context) or found["msg"], "")


def _type_mend(kind: str, value: Any) -> str:
    if kind == "string_type" and isinstance(value, bool | int | float):
        return "put it in quotes"
    if kind.startswith(("int_", "float_", "bool_")) and isinstance(value, str):
        return "write it without quotes"
    return ""


def _bound(kind: str, context: Mapping[str, Any]) -> str:
    if kind == "string_pattern_mismatch":
        words = PATTERN_WORDS.get(str(context.get("pattern")))
        return f"must be {words}" if words else "has a form that is not allowed"
    if kind == "value_error":
        return str(context.get("error", ""))
    return _BOUNDS[kind].format(**context) if kind in _BOUNDS else ""


def _fields_at(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """Returns the names of the fields that stand at a location."""
    here: type[BaseModel] | None = model
    for part in location:
        if isinstance(part, int) or here is None:
            continue
        field = next(
            (one for name, one in here.model_fields.items() if part in (one.alias, name)), None
        )
        here = _model_in(field.annotation) if field is not None else None
    return [field.alias or name for name, field in here.model_fields.items()] if here else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in get_args(annotation):
        if (found := _model_in(part)) is not None:
            return found
    return None
