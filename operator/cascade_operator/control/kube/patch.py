"""JSON merge patches (RFC 7386). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merge_diff(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The smallest merge patch that makes ``after`` of ``before``; empty where they are the same.

    A list is replaced whole, and a field that goes is set to null, as the format has it.
    """
    patch: dict[str, Any] = {name: None for name in before if name not in after}
    for name, value in after.items():
        held = before.get(name)
        if name in before and held == value:
            continue
        if isinstance(held, Mapping) and isinstance(value, Mapping):
            patch[name] = merge_diff(held, value)
        else:
            patch[name] = value
    return patch
