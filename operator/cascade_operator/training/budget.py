"""Shares of a call budget: fixed per level of the lattice before anything runs.

A share depends on the run's configuration alone, never on what another group left over, so that
which programs a group tries does not depend on the order in which Jobs end. Shares are counted
in logical calls: one node run on one record, whether a server or a cache answered.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cascade_operator.api.groups import NodeGroup

PREPARE_FRACTION = 0.2
"""Of a run's budget, for proposing candidates."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a search may use at most.

    Attributes:
        trials: Most trials per group.
        records_per_trial: Validation records of one trial (SearchSettings.records_per_trial).
        held_out: Held-out records, scored for two programs.
        calls_per_record: Nodes that run per record, by group key.
        candidates: Node name -> candidates.
    """

    trials: int
    records_per_trial: int
    held_out: int
    calls_per_record: Mapping[str, int]
    candidates: Mapping[str, int]

    def of(self, group: NodeGroup) -> int:
        """Logical calls the group can use: it never tries more programs than there are."""
        programs = math.prod(self.candidates.get(node, 1) for node in group.nodes)
        records = min(self.trials, programs) * self.records_per_trial + 2 * self.held_out
        return records * self.calls_per_record[group.key]


def prepare_share(total: int | None) -> int | None:
    """Calls that proposing candidates may use; None without a budget."""
    return None if total is None else math.floor(total * PREPARE_FRACTION)


def group_shares(
    total: int | None, groups: Sequence[NodeGroup], demand: Demand
) -> dict[str, int | None]:
    """Splits the groups' part of a budget: by demand over levels, then evenly within a level.

    Args:
        total: The run's budget in calls; None for no limit.
        groups: Every selected group.
        demand: What they can use.

    Returns:
        Group key -> logical calls; the shares never sum to more than the groups' part.
    """
    if total is None:
        return {group.key: None for group in groups}
    available = total - (prepare_share(total) or 0)
    levels: dict[int, list[NodeGroup]] = {}
    for group in groups:
        levels.setdefault(group.size, []).append(group)
    wanted = {size: sum(demand.of(group) for group in level) for size, level in levels.items()}
    everything = sum(wanted.values())
    shares: dict[str, int | None] = {}
    for size, level in levels.items():
        of_level = available * wanted[size] / everything if everything else 0.0
        for group in level:
            shares[group.key] = math.floor(of_level / len(level))
    return shares
