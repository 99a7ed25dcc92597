"""JSON as text: one text for one value, or one that keeps the order of keys."""

from __future__ import annotations

import json
from typing import Any


def canonical_json(value: Any) -> str:
    """Returns the value as JSON with sorted keys, no spaces and no escapes for non-ASCII.

    Raises:
        ValueError: The value holds NaN or an infinity.
        TypeError: The value is not JSON.
    """
    return json.dumps(
        value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )


def ordered_json(value: Any) -> str:
    """Returns the value as compact JSON in the order of its keys.

    For what a prompt may show: a model reads an object's keys in their order, so a value must come
    back from Redis or an archive in the order it had, or the same program answers differently.

    Raises:
        ValueError: The value holds NaN or an infinity.
        TypeError: The value is not JSON.
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
