"""Node groups (02): subsets of a cascade's nodes, and their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from cascade_operator.api.cascade import CascadeSpec
from cascade_operator.api.search_spec import GroupsSpec

_KEY = re.compile(r"[0-9]{2}(?:_[0-9]{2}){0,5}")


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """A subset of the nodes.

    Attributes:
        positions: Ascending positions in cascade order.
        nodes: The nodes' names, in the same order.
    """

    positions: tuple[int, ...]
    nodes: tuple[str, ...]

    @property
    def key(self) -> str:
        """The form in files, keys and status: ``00_02``."""
        return "_".join(f"{p:02d}" for p in self.positions)

    @property
    def slug(self) -> str:
        """The form in object names: ``00-02``."""
        return self.key.replace("_", "-")

    @property
    def size(self) -> int:
        """How many nodes it has."""
        return len(self.positions)


def group_of(cascade: CascadeSpec, positions: Iterable[int]) -> NodeGroup:
    """Returns the group at these positions.

    Raises:
        IndexError: A position lies outside the cascade.
    """
    ordered = tuple(sorted(set(positions)))
    return NodeGroup(ordered, tuple(cascade.nodes[p].name for p in ordered))


def parse_key(key: str) -> tuple[int, ...]:
    """Returns the positions behind ``00_02``.

    Raises:
        ValueError: It is no group's key.
    """
    if _KEY.fullmatch(key) is None:
        raise ValueError(f"{key!r} is not a node group; write for example 00_02")
    positions = tuple(int(part) for part in key.split("_"))
    if list(positions) != sorted(set(positions)):
        raise ValueError(f"the positions of node group {key!r} are not ascending")
    return positions


def select_groups(cascade: CascadeSpec, spec: GroupsSpec) -> tuple[NodeGroup, ...]:
    """Returns the groups to train, small ones first, then in cascade order.

    Raises:
        KeyError: `include` or `exclude` names an unknown node.
    """
    order = {node.name: at for at, node in enumerate(cascade.nodes)}

    def positions(lists: Sequence[Sequence[str]]) -> set[tuple[int, ...]]:
        return {tuple(sorted({order[name] for name in names})) for names in lists}

    included, excluded = positions(spec.include), positions(spec.exclude)
    return tuple(
        group_of(cascade, chosen)
        for size in range(1, len(order) + 1)
        if not spec.sizes or size in spec.sizes
        for chosen in combinations(range(len(order)), size)
        if (not included or chosen in included) and chosen not in excluded
    )
