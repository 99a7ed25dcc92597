"""The kinds of stages that the timeline tells apart."""

from __future__ import annotations

from typing import Final

KINDS: Final = {
    "traces": "traces, store",
    "embed": "embed, reduce",
    "propose": "propose",
    "search": "search",
    "archive": "archive, restore",
    "other": "other",
}
_KIND_OF: Final = {
    **dict.fromkeys((11, 15, 16, 17, 18, 19, 84, 85, 92), "traces"),
    **dict.fromkeys((12, 13, 14), "embed"),
    44: "propose",
    **dict.fromkeys((40, 41, 42, 43, 45, 46, 47, 48, 49), "search"),
    **dict.fromkeys((*range(50, 60), 83), "archive"),
}


def kind_of(code: int) -> str:
    """Returns the kind of a stage, one of ``KINDS``."""
    return _KIND_OF.get(code, "other")
