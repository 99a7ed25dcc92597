"""JSON as text: one text for one value, or one that keeps the order of keys."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, Final, NoReturn

_MAX_DIGITS: Final = 300
_RUN: Final = 100
_LARGE_EXPONENT: Final = re.compile(r"[eE]\+?[0-9]{3}", re.ASCII)

# json.dumps makes an encoder for each value, which costs more than a short value's text does.
_CANONICAL: Final = json.JSONEncoder(
    sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
)
_ORDERED: Final = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False
)


def canonical_json(value: Any) -> str:
    """Returns the value as JSON with sorted keys, no spaces and no escapes for non-ASCII.

    Raises:
        ValueError: The value holds NaN or an infinity.
        TypeError: The value is not JSON.
    """
    return _CANONICAL.encode(value)


def ordered_json(value: Any) -> str:
    """Returns the value as compact JSON in the order of its keys.

    For what a prompt may show: a model reads an object's keys in their order, so a value must come
    back from Redis or an archive in the order it had, or the same program answers differently.

    Raises:
        ValueError: The value holds NaN or an infinity.
        TypeError: The value is not JSON.
    """
    return _ORDERED.encode(value)


def strict_json(
    text: str | bytes,
    pairs: Callable[[list[tuple[str, Any]]], dict[str, Any]] | None = None,
    *,
    any_whole: bool = False,
) -> Any:
    """Reads JSON whose numbers are finite, so that it can be written again.

    Args:
        text: The document; bytes are UTF-8.
        pairs: Makes an object of its pairs; a dict by default.
        any_whole: Whether whole numbers may be beyond a double, for who checks values one by one.

    Raises:
        ValueError: It is no JSON, or holds NaN, an infinity or a number beyond a double.
        RecursionError: It nests too deep.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    if _may_be_huge(text):
        return json.loads(
            text,
            object_pairs_hook=pairs,
            parse_constant=_not_finite,
            parse_float=_finite_float,
            parse_int=int if any_whole else _bounded_int,
        )
    # A hook for each number would cost more than all the rest.
    return json.loads(text, object_pairs_hook=pairs, parse_constant=_not_finite)


def _may_be_huge(text: str) -> bool:
    """Whether a number in the text could be beyond a double.

    Fewer than 200 digits with an exponent of two stay below 1e299, and 200 in a row fill at least
    one of the text's blocks of 100.
    """
    if _LARGE_EXPONENT.search(text):
        return True
    return any(text[at : at + _RUN].isdigit() for at in range(0, len(text), _RUN))


def _not_finite(name: str) -> NoReturn:
    raise ValueError(f"{name[:20]} is no JSON number")


def _finite_float(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _not_finite(text)


def _bounded_int(text: str) -> int:
    # Whole numbers have no bound of their own, and what computes with them has.
    return int(text) if len(text) <= _MAX_DIGITS else _not_finite(text)
