"""Stage 62: the timelines of all attempts of a run's Jobs as one list. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

MAX_ENTRIES: Final = 500
"""Attempts kept, the latest ones: at some 10 KB each they fit the document's bound."""
MAX_ENTRY_BYTES: Final = 1 << 16


def merge_timelines(archived: Any, held: Mapping[bytes, bytes]) -> list[dict[str, Any]]:
    """Joins the attempts of an archive with those that Redis holds, earliest first.

    Args:
        archived: The document an archive gave back, or None; it may hold anything.
        held: Field -> JSON of one attempt; it wins over the archived one of the same name.

    Returns:
        At most ``MAX_ENTRIES`` attempts; what cannot be read is left out.
    """
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    earlier = archived.get("jobs") if isinstance(archived, dict) else None
    fresh = [_parsed(text) for text in held.values()]
    for entry in (*(earlier if isinstance(earlier, list) else ()), *fresh):
        if (name := _name(entry)) is not None:
            found[name] = entry
    ordered = sorted(found.values(), key=lambda e: (e["start"], e["job"], e["attempt"]))
    return ordered[-MAX_ENTRIES:]


def _parsed(text: bytes) -> Any:
    if len(text) > MAX_ENTRY_BYTES:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _name(entry: Any) -> tuple[str, int, float] | None:
    if not isinstance(entry, dict):
        return None
    job, attempt, start = entry.get("job"), entry.get("attempt"), entry.get("start")
    if not isinstance(job, str) or type(attempt) is not int or not isinstance(start, int | float):
        return None
    return job, attempt, float(start)
