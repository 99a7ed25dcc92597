"""A bound on values that are passed through as they are."""

from __future__ import annotations

from math import isfinite
from typing import Any, Final

MAX_DEPTH: Final = 24
MAX_VALUES: Final = 20_000
MAX_TEXT: Final = 65_536


def check_plain_json(value: dict[str, Any]) -> dict[str, Any]:
    """Returns the value if it is plain JSON of bounded depth and size.

    It walks with a stack of its own, so that a value nested too deep, or into itself, ends here.

    Raises:
        ValueError: It is not.
    """
    left: list[tuple[Any, int]] = [(value, 0)]
    seen = 0
    while left:
        item, depth = left.pop()
        seen += 1
        if depth > MAX_DEPTH or seen > MAX_VALUES:
            raise ValueError("is nested too deep or holds too many values")
        if isinstance(item, dict):
            if any(not isinstance(key, str) for key in item):
                raise ValueError("holds a key that is not a string")
            left += [(inner, depth + 1) for inner in item.values()]
        elif isinstance(item, list):
            left += [(inner, depth + 1) for inner in item]
        elif isinstance(item, str):
            if len(item) > MAX_TEXT:
                raise ValueError(f"holds a text longer than {MAX_TEXT} characters")
        elif isinstance(item, float):
            if not isfinite(item):
                raise ValueError("holds a number that JSON does not know")
        elif item is not None and not isinstance(item, bool | int):
            raise ValueError(f"holds a value that JSON does not know ({type(item).__name__})")
    return value
