"""The programs of a node group: one candidate per node, counted in a fixed order."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

Program = tuple[int, ...]
"""A candidate index per node of the group, in cascade order. All 0 is the spec's own program."""


@dataclass(frozen=True, slots=True)
class ProgramSpace:
    """Every program of one node group.

    Attributes:
        nodes: The group's node names, in cascade order.
        counts: Candidates per node, each at least 1.
    """

    nodes: tuple[str, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, nodes: Sequence[str], counts: Mapping[str, int]) -> ProgramSpace:
        """Builds the space of these nodes.

        Raises:
            KeyError: A node has no candidates.
        """
        return cls(tuple(nodes), tuple(max(1, counts[node]) for node in nodes))

    @property
    def size(self) -> int:
        """How many programs there are."""
        return math.prod(self.counts)

    @property
    def base(self) -> Program:
        """The program the spec declares."""
        return (0,) * len(self.nodes)

    def program(self, choice: Mapping[str, int]) -> Program | None:
        """Returns the program a choice names, None when one of its candidates does not exist.

        Nodes the choice leaves out stay at the base; nodes outside the group are ignored.
        """
        program = tuple(choice.get(node, 0) for node in self.nodes)
        inside = all(0 <= i < count for i, count in zip(program, self.counts, strict=True))
        return program if inside else None

    def choice(self, program: Program) -> dict[str, int]:
        """Returns node name -> candidate index."""
        return dict(zip(self.nodes, program, strict=True))

    def next_untried(self, program: Program, tried: Collection[Program]) -> Program | None:
        """Returns the first program that was not tried, from ``program`` on, round the clock.

        The order is that of a counter whose last node turns fastest, so the answer depends on
        nothing but its arguments.

        Returns:
            None when every program was tried.
        """
        if len(tried) >= self.size:
            return None
        current = program
        while current in tried:
            current = self._after(current)
        return current

    def _after(self, program: Program) -> Program:
        digits = list(program)
        for position in reversed(range(len(digits))):
            digits[position] += 1
            if digits[position] < self.counts[position]:
                break
            digits[position] = 0
        return tuple(digits)
