"""The port between a search and the cascade it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One program scored on some records.

    Attributes:
        scores: One score in [0, 1] per record, in the order of the request.
        parse_failures: Records whose answer could not be read; they scored 0.
    """

    scores: tuple[float, ...]
    parse_failures: int = 0


class Evaluator(Protocol):
    """Scores programs."""

    def evaluate(self, choice: Mapping[str, int], record_ids: Sequence[str]) -> Evaluation:
        """Scores one program.

        Args:
            choice: Node name -> candidate index; nodes left out run with candidate 0.
            record_ids: Which records, in the order of the scores.

        Raises:
            ServiceUnavailable: A server failed; no score of this call counts.
            MemoryGateReached: The memory gate was reached.
            Terminated: The process was told to stop.
            SearchStopped: Time or a budget was used up on the way.
        """
        ...
