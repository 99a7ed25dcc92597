"""What may flow between nodes: JSON values that every server and file can carry."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from cascade_operator.agents.signatures import RecordModel


class NotJsonError(ValueError):
    """A value that JSON cannot hold: NaN, infinity, or nested beyond reason."""


def plain(value: Any) -> Any:
    """Returns a model's answer as plain JSON values.

    Records become objects with the session's field names, absent optional fields left out. A lone
    surrogate (half of a character, which models do emit as an escape) becomes a question mark:
    no server takes it in the next node's prompt.

    Raises:
        NotJsonError: The value holds NaN or infinity, nests too deep, or is no JSON at all.
    """
    try:
        value = _unwrapped(value)
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise NotJsonError(str(error)) from error
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return json.loads(text.encode("utf-8", "replace"))
    return value


def _unwrapped(value: Any) -> Any:
    if isinstance(value, RecordModel):
        return {
            info.alias or name: _unwrapped(getattr(value, name))
            for name, info in type(value).model_fields.items()
            if info.is_required() or getattr(value, name) is not None
        }
    if isinstance(value, BaseModel):  # a user's own module may return its own models
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, dict):
        return {str(key): _unwrapped(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_unwrapped(inner) for inner in value]
    return value
