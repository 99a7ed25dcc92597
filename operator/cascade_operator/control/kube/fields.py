"""Reads single fields of raw objects: whatever stands there, the answer has the asked type."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def mapping(value: Any) -> Mapping[str, Any]:
    """The value where it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def objects(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list; empty where it is none."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def text(value: Any, most: int = 1024) -> str:
    """The value where it is a string, at most so long; else empty."""
    return value[:most] if isinstance(value, str) else ""


def number(value: Any) -> int | None:
    """The value where it is a whole number."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def time_of(value: Any) -> datetime | None:
    """An RFC 3339 time."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def version_of(metadata: Mapping[str, Any]) -> int:
    """A resource version as a number, so that the older of two answers is known; 0 if it is none.

    The API promises numbers that grow per resource since 1.35; etcd has kept to it before.
    """
    value = text(metadata.get("resourceVersion"))
    return int(value) if value.isascii() and value.isdecimal() else 0
