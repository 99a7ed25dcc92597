"""The best group of a run: by validation score, never by the held-out one (43)."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from cascade_operator.api.status import BestStatus, GroupPhase, GroupStatus
from cascade_operator.control.domain.figures import FIGURES_PENDING


def best_of(groups: Sequence[GroupStatus], standing: BestStatus | None) -> BestStatus | None:
    """Chooses the best group.

    Scores are compared as status shows them, with four decimals; a tie goes to the smaller group,
    then to the earlier one, so that a reader of the status comes to the same answer.

    Args:
        groups: The run's groups, small ones first, then in cascade order.
        standing: What an archive Job said before; it counts where that group's own figures are
            still missing.
    """
    order = {group.name: place for place, group in enumerate(groups)}
    entries = [_entry(g) for g in groups if g.phase is GroupPhase.SUCCEEDED and g.score]
    if standing is not None and _is_pending(standing.group, groups):
        entries.append(standing)
    return min(entries, key=lambda e: (-Decimal(e.score), order[e.group]), default=None)


def _is_pending(name: str, groups: Sequence[GroupStatus]) -> bool:
    return any(g.name == name and g.reason == FIGURES_PENDING for g in groups)


def _entry(group: GroupStatus) -> BestStatus:
    improvement = None
    if group.held_out and group.baseline_held_out:
        improvement = f"{Decimal(group.held_out) - Decimal(group.baseline_held_out):.4f}"
    return BestStatus(
        group=group.name,
        score=group.score or "0.0000",
        held_out=group.held_out,
        baseline_held_out=group.baseline_held_out,
        improvement=improvement,
    )
