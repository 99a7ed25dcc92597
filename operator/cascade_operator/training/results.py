"""Groups' results: as Redis and archives keep them, and what they come to together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cascade_operator.api.records import GroupResult
from cascade_operator.api.status import AttributionStatus, BestStatus, format_score
from cascade_operator.training.attribution import attribute
from cascade_operator.training.outcome import GroupOutcome

Results = Mapping[str, tuple[GroupOutcome, GroupResult]]
"""Group key -> what its search found, whole and as figures."""


def result_document(outcome: GroupOutcome, figures: GroupResult) -> dict[str, Any]:
    """Returns a result as Redis and archives keep it."""
    return {"outcome": outcome.to_json(), "figures": figures.dump()}


def read_result(value: Mapping[str, Any]) -> tuple[GroupOutcome, GroupResult]:
    """Reads a result document.

    Raises:
        ValueError: It is none.
    """
    try:
        outcome, figures = value["outcome"], value["figures"]
    except (KeyError, TypeError) as error:
        raise ValueError("not a group's result") from error
    return GroupOutcome.from_json(outcome), GroupResult.model_validate(figures)


def best_of(results: Results) -> BestStatus | None:
    """Returns the best group by validation score; ties go to the smaller, then the earlier one."""
    if not results:
        return None
    outcome, figures = min(
        results.values(),
        key=lambda pair: (-pair[1].score, pair[0].group.size, pair[0].group.positions),
    )
    improvement = None
    if figures.held_out is not None and figures.baseline_held_out is not None:
        improvement = format_score(figures.held_out - figures.baseline_held_out)
    return BestStatus(
        group=outcome.group.key,
        score=format_score(figures.score),
        held_out=_four(figures.held_out),
        baseline_held_out=_four(figures.baseline_held_out),
        improvement=improvement,
    )


def attribution_of(nodes: Sequence[str], results: Results, *, seed: int) -> list[AttributionStatus]:
    """Returns what training each node was worth; nothing unless every subset was scored.

    Args:
        nodes: All nodes of the cascade.
        results: What the groups found.
        seed: Of the bootstrap.
    """
    scored = {
        frozenset(outcome.group.nodes): outcome.held_out_scores
        for outcome, _ in results.values()
        if outcome.held_out_scores
    }
    baseline = next(
        (o.baseline_held_out_scores for o, _ in results.values() if o.baseline_held_out_scores), ()
    )
    return [
        AttributionStatus(
            node=one.node,
            value=format_score(one.value),
            low=format_score(one.low),
            high=format_score(one.high),
        )
        for one in attribute(nodes, baseline, scored, seed=seed) or ()
    ]


def _four(value: float | None) -> str | None:
    return None if value is None else format_score(value)
