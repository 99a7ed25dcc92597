"""Why searches ended, in words for who has not read the manual. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_WORDS: Final = {
    "Converged": "no better combination came for spec.convergence.patience tries",
    "Exhausted": "every combination was tried",
    "MaxTrials": "spec.optimizer.trials combinations were tried",
    "DeadlineExceeded": "spec.budget.maxDuration was over",
    "CallBudget": "spec.budget.maxModelCalls was used up",
    "TokenBudget": "spec.budget.maxTokens or maxCost was used up",
}


def explained(reasons: Iterable[str]) -> str:
    """Returns one line that explains those of the reasons that are known; empty for none."""
    known = set(reasons)
    return "; ".join(f"{name}: {words}" for name, words in _WORDS.items() if name in known)
