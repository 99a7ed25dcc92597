"""The lattice (42): which groups may start, and what they start from."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Standing(StrEnum):
    """A group's standing, as its supersets see it."""

    OPEN = "Open"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


def immediate_subsets(key: str, selected: Mapping[str, Standing]) -> tuple[str, ...]:
    """The selected groups that lack exactly one node of this one, in their order.

    Args:
        key: A group's key, such as ``00_02``.
        selected: All groups of the run by key.
    """
    nodes = key.split("_")
    return tuple(
        other
        for other in selected
        if other.count("_") == len(nodes) - 2 and set(other.split("_")) < set(nodes)
    )


def may_start(key: str, selected: Mapping[str, Standing], *, lattice: bool) -> bool:
    """Whether each selected immediate subset is terminal; a failed one stops nobody."""
    if not lattice:
        return True
    return all(selected[subset] is not Standing.OPEN for subset in immediate_subsets(key, selected))


def parents(key: str, selected: Mapping[str, Standing], *, lattice: bool) -> tuple[str, ...]:
    """The subsets whose findings the group starts from: those that succeeded."""
    if not lattice:
        return ()
    return tuple(
        subset
        for subset in immediate_subsets(key, selected)
        if selected[subset] is Standing.SUCCEEDED
    )
