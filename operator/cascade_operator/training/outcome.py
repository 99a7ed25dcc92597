"""The result of one group's search, as the archive and the operator read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cascade_operator.api.groups import NodeGroup, parse_key
from cascade_operator.api.status import StopReason
from cascade_operator.training.posterior import Posterior
from cascade_operator.training.trial import Trial, finite_number, whole_number

VERSION = 1


@dataclass(frozen=True, slots=True, eq=False)
class GroupOutcome:
    """What a search found.

    Attributes:
        group: The node group.
        choice: Node name -> candidate index of the best program by whole-split score.
        trials: Every trial, in order; empty when the deadline passed before the first one.
        baseline: Mean validation score of the spec's own program; None without trials.
        score: Mean validation score of the best program; None without trials.
        held_out: Mean held-out score of the best program; None when it could not be scored.
        baseline_held_out: The same of the spec's own program.
        held_out_scores: Per held-out record, in split order; empty when not scored.
        baseline_held_out_scores: The same of the spec's own program.
        previous_best: Validation score of the archived program; None without a warm start.
        posterior: Over the validation records, in split order.
        record_ids: The validation split, in order.
        held_out_ids: The held-out split, in order.
        reason: Why the search ended.
    """

    group: NodeGroup
    choice: Mapping[str, int]
    trials: tuple[Trial, ...]
    baseline: float | None
    score: float | None
    held_out: float | None
    baseline_held_out: float | None
    held_out_scores: tuple[float, ...]
    baseline_held_out_scores: tuple[float, ...]
    previous_best: float | None
    posterior: Posterior
    record_ids: tuple[str, ...]
    held_out_ids: tuple[str, ...]
    reason: StopReason

    @property
    def converged(self) -> bool:
        """Whether more trials could hardly find a better program, or none is left to try."""
        return self.reason in {StopReason.CONVERGED, StopReason.EXHAUSTED}

    @property
    def parse_failures(self) -> int:
        """Records, over all trials, whose answer could not be read."""
        return sum(trial.parse_failures for trial in self.trials)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, exact to the bit; what a group leaves in Redis for the archive."""
        return {
            "version": VERSION,
            "group": self.group.key,
            "nodes": list(self.group.nodes),
            "choice": dict(self.choice),
            "trials": [trial.to_json() for trial in self.trials],
            "baseline": self.baseline,
            "score": self.score,
            "heldOut": self.held_out,
            "baselineHeldOut": self.baseline_held_out,
            "heldOutScores": list(self.held_out_scores),
            "baselineHeldOutScores": list(self.baseline_held_out_scores),
            "previousBest": self.previous_best,
            "posterior": self.posterior.to_json(),
            "recordIds": list(self.record_ids),
            "heldOutIds": list(self.held_out_ids),
            "reason": self.reason.value,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> GroupOutcome:
        """Reads what ``to_json`` wrote.

        Raises:
            ValueError: It is not an outcome of this version.
        """
        try:
            if data["version"] != VERSION:
                raise ValueError(f"an outcome of version {data['version']!r}")
            outcome = cls(
                group=NodeGroup(tuple(parse_key(data["group"])), tuple(data["nodes"])),
                choice={str(node): whole_number(index) for node, index in data["choice"].items()},
                trials=tuple(Trial.from_json(trial) for trial in data["trials"]),
                baseline=_score(data["baseline"]),
                score=_score(data["score"]),
                held_out=_score(data["heldOut"]),
                baseline_held_out=_score(data["baselineHeldOut"]),
                held_out_scores=tuple(map(finite_number, data["heldOutScores"])),
                baseline_held_out_scores=tuple(map(finite_number, data["baselineHeldOutScores"])),
                previous_best=_score(data["previousBest"]),
                posterior=Posterior.from_json(data["posterior"]),
                record_ids=tuple(map(str, data["recordIds"])),
                held_out_ids=tuple(map(str, data["heldOutIds"])),
                reason=StopReason(data["reason"]),
            )
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError("not a group's outcome") from error
        if len(outcome.posterior) != len(outcome.record_ids):
            raise ValueError("an outcome's posterior and split differ in length")
        return outcome


def _score(value: Any) -> float | None:
    return None if value is None else finite_number(value)
