"""Stage 42: what a group takes from its immediate subsets.

A group of k nodes waits for its subsets of k - 1 nodes. Each of them found a best program; their
unions are good first guesses, because prompts that help one node mostly help it beside others
too. Proposals depend on the parents' results only, not on the order in which they finished.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cascade_operator.api.groups import NodeGroup
from cascade_operator.training.space import Program, ProgramSpace


@dataclass(frozen=True, slots=True)
class ParentResult:
    """What an immediate subset found.

    Attributes:
        group: The subset.
        choice: Node name -> candidate index of its best program.
    """

    group: NodeGroup
    choice: Mapping[str, int]


def unions(space: ProgramSpace, parents: Sequence[ParentResult]) -> tuple[Program, ...]:
    """Returns a group's first proposals, the best guesses first.

    First one union per parent: the parent's own choice, and for each node it lacks the choice of
    the first other parent, in cascade order, that has it (the base where none has). Then each
    parent's program alone, so that a group never ends below a subset it contains.

    Args:
        space: The programs of the group.
        parents: Results of immediate subsets that succeeded, in any order.

    Returns:
        Distinct programs other than the base. A parent whose candidates do not exist is left out.
    """
    ordered = sorted(parents, key=lambda parent: parent.group.positions)
    known = [parent for parent in ordered if space.program(parent.choice) is not None]
    proposals: dict[Program, None] = {}
    for leader in known:
        choice: dict[str, int] = {}
        for parent in (leader, *known):
            for node in parent.group.nodes:
                choice.setdefault(node, parent.choice.get(node, 0))
        _add(proposals, space, choice)
    for parent in known:
        _add(proposals, space, parent.choice)
    proposals.pop(space.base, None)
    return tuple(proposals)


def _add(proposals: dict[Program, None], space: ProgramSpace, choice: Mapping[str, int]) -> None:
    program = space.program(choice)
    if program is not None:
        proposals.setdefault(program)
