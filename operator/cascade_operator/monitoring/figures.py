"""How figures are written for a reader: scores, memory, durations, short node names. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

NONE = "-"
"""What stands where a figure is not there yet."""

_MEMORY_UNITS = ((2**30, "Gi"), (2**20, "Mi"), (2**10, "Ki"))
_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 365 * 86400
_TIME_UNITS = {1: "s", _MINUTE: "m", _HOUR: "h", _DAY: "d", _YEAR: "y"}
# As kubectl's HumanDuration: below how many seconds, in which unit, with which part of it.
_AGES = (
    (2 * _MINUTE, 1, 0),
    (10 * _MINUTE, _MINUTE, 1),
    (3 * _HOUR, _MINUTE, 0),
    (8 * _HOUR, _HOUR, _MINUTE),
    (2 * _DAY, _HOUR, 0),
    (8 * _DAY, _DAY, _HOUR),
    (2 * _YEAR, _DAY, 0),
    (8 * _YEAR, _YEAR, _DAY),
    (math.inf, _YEAR, 0),
)
_COUNT_UNITS = ((10**9, "G"), (10**6, "M"), (10**3, "k"))


def score_text(score: float | str | None) -> str:
    """A score in [0, 1] with four decimals, or ``-``."""
    return NONE if score is None or score == "" else f"{float(score):.4f}"


def delta_text(score: float | str | None, baseline: float | str | None) -> str:
    """The signed difference of two scores with four decimals, or ``-`` where one is missing."""
    if score in (None, "") or baseline in (None, ""):
        return NONE
    return f"{float(score) - float(baseline):+.4f}"  # type: ignore[arg-type]


def memory_text(size: float | None) -> str:
    """Bytes in binary units, three significant digits at most: ``212Mi``, ``1.5Gi``, or ``-``."""
    if size is None:
        return NONE
    for unit, name in _MEMORY_UNITS:
        if size >= unit:
            amount = size / unit
            return (
                f"{amount:.0f}{name}"
                if amount >= 10
                else f"{amount:.1f}".rstrip("0").rstrip(".") + name
            )
    return f"{size:.0f}"


def count_text(count: float) -> str:
    """A count: exact below 10,000, then with a unit: ``9999``, ``12.3k``, ``1.2M``."""
    if count < 10_000:
        return f"{count:.0f}"
    for unit, name in _COUNT_UNITS:
        if count >= unit:
            return f"{count / unit:.1f}{name}"
    return f"{count:.0f}"


def seconds_text(seconds: float | None) -> str:
    """A duration in at most two units: ``45s``, ``2m10s``, ``3h05m``, or ``-``."""
    if seconds is None:
        return NONE
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def age_text(seconds: float | None) -> str:
    """How long ago something was, as kubectl shows it: ``45s``, ``3h12m``, ``3d4h``, ``2y40d``.

    The further back, the coarser; ``-`` where it is not known.
    """
    if seconds is None:
        return NONE
    whole = max(0, int(seconds))
    unit, part = next((unit, part) for below, unit, part in _AGES if whole < below)
    rest = whole % unit // part if part else 0
    return f"{whole // unit}{_TIME_UNITS[unit]}" + (f"{rest}{_TIME_UNITS[part]}" if rest else "")


def percent_text(part: float, whole: float) -> str:
    """A share as ``78 %``; ``0 %`` of nothing."""
    return f"{100 * part / whole:.0f} %" if whole else "0 %"


def short_names(nodes: Sequence[str]) -> dict[str, str]:
    """Gives each node the shortest leading words that still tell it from the others.

    Words that all nodes share at the front, and numbers there, say nothing in a table:
    ``agent-00-autogen-bmad`` beside ``agent-10-baml-transform`` is ``autogen``.
    """
    words = {node: _telling_words(node, nodes) for node in nodes}
    names: dict[str, str] = {}
    for node, own in words.items():
        others = [other for name, other in words.items() if name != node]
        taken = next(
            (n for n in range(1, len(own)) if all(own[:n] != other[:n] for other in others)),
            len(own),
        )
        names[node] = "-".join(own[:taken])
    # Two names can still meet (00-review and 10-review): then only the whole name tells.
    counts = list(names.values())
    return {node: name if counts.count(name) == 1 else node for node, name in names.items()}


def _telling_words(node: str, nodes: Sequence[str]) -> tuple[str, ...]:
    words = node.split("-")
    first_words = {other.split("-")[0] for other in nodes}
    if len(nodes) > 1 and len(first_words) == 1 and all("-" in other for other in nodes):
        words = words[1:]
    while len(words) > 1 and words[0].isdigit():
        words = words[1:]
    return tuple(words) if words and words[0] else (node,)


def group_text(nodes: Sequence[str], names: dict[str, str]) -> str:
    """A node group in short names: ``autogen+speckit``."""
    return "+".join(names.get(node, node) for node in nodes)
