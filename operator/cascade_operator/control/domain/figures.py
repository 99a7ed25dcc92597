"""Final figures on their way from a Job's records into status (61)."""

from __future__ import annotations

import math
from typing import Any, Final

from cascade_operator.api.quantity import format_quantity
from cascade_operator.api.records import GroupResult
from cascade_operator.api.status import GroupPhase
from cascade_operator.control.domain.draft import Draft

FIGURES_PENDING: Final = "FiguresPending"


def score_text(score: float | None) -> str | None:
    """A score as status holds it: four decimals, the same for every reader."""
    if score is None or not math.isfinite(score):
        return None
    return f"{score + 0.0:.4f}"


def group_figures(result: GroupResult) -> dict[str, Any]:
    """The fields of a group's status that a result fills."""
    figures: dict[str, Any] = {
        "trials": result.trials,
        "baseline": score_text(result.baseline),
        "score": score_text(result.score),
        "held_out": score_text(result.held_out),
        "baseline_held_out": score_text(result.baseline_held_out),
        "previous_best": score_text(result.previous_best),
        "converged": result.converged,
        "reason": str(result.reason),
        "message": "",
    }
    if result.peak_memory:
        figures["peak_memory"] = format_quantity(result.peak_memory)
    return figures


def fill_pending(draft: Draft, results: list[GroupResult]) -> Draft:
    """Fills groups whose own message was missing from what an archive Job read in Redis."""
    known = {result.group: result for result in results}
    for group in draft.groups:
        pending = group.phase is GroupPhase.SUCCEEDED and group.reason == FIGURES_PENDING
        if pending and group.name in known:
            result = known[group.name]
            calls = result.calls if group.calls is None else group.calls.at_least(result.calls)
            draft = draft.put_group(group.name, **group_figures(result), calls=calls)
    return draft
