"""The run's own estimate beside what it came to."""

from __future__ import annotations

from collections.abc import Mapping

from cascade_operator.api.estimate import RunEstimate
from cascade_operator.report.model import EstimateRow


def estimate_rows(
    estimate: RunEstimate, actual: Mapping[str, float | None]
) -> tuple[EstimateRow, ...]:
    """Returns the figures that were estimated.

    Args:
        estimate: The run's own, made at the end of prepare.
        actual: Figure -> what it came to; None while that is unknown.
    """
    calls, tokens = estimate.model_calls, estimate.tokens
    rows = [
        EstimateRow("Model calls", "", calls.likely, calls.at_most, actual.get("modelCalls")),
        EstimateRow("Tokens", "", tokens.likely, tokens.at_most, actual.get("tokens")),
    ]
    if estimate.seconds is not None:
        rows.append(EstimateRow("Duration", "s", estimate.seconds, None, actual.get("seconds")))
    if estimate.peak_memory:
        memory, peak = float(estimate.peak_memory), actual.get("peakMemory")
        rows.append(EstimateRow("Memory of Jobs at once", "B", memory, None, peak))
    return tuple(rows)
