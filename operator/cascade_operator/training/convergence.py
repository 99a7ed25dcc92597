"""When a search has found what it will find: judged on whole-split scores only."""

from __future__ import annotations

from collections.abc import Sequence

from cascade_operator.training.space import Program
from cascade_operator.training.trial import Trial

WARM_UP = 10
"""Distinct programs that are tried before the search may converge."""
WHOLE_SCORINGS = 2
"""Whole-split scorings that must follow the warm-up within the window of patience."""


def converged(trials: Sequence[Trial], *, threshold: float, patience: int) -> bool:
    """Says whether the best score has stopped improving.

    That is: the best whole-split score has improved by less than ``threshold`` while the last
    ``patience`` distinct programs were tried, and in that time, after the first ten programs, at
    least two programs were scored on the whole split. Estimates from minibatches never count.

    Args:
        trials: All trials, in order.
        threshold: Smallest improvement that matters, on the scale of scores (0 to 1).
        patience: Distinct programs without such an improvement, at least 1.
    """
    distinct: set[Program] = set()
    for trial in trials:
        distinct.add(trial.program)
    window_begins = len(distinct) - patience
    if window_begins < 1:
        return False
    seen: set[Program] = set()
    before = float("-inf")
    now = float("-inf")
    scored_whole: set[Program] = set()
    for trial in trials:
        seen.add(trial.program)
        if not trial.whole:
            continue
        now = max(now, trial.score)
        if len(seen) <= window_begins:
            before = max(before, trial.score)
        elif len(seen) > WARM_UP:
            scored_whole.add(trial.program)
    return len(scored_whole) >= WHOLE_SCORINGS and now - before < threshold
