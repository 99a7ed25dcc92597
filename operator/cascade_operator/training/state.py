"""The state of a search as its checkpoint keeps it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from cascade_operator.api.status import StopReason
from cascade_operator.training.space import Program, ProgramSpace
from cascade_operator.training.strategy import SearchSettings
from cascade_operator.training.trial import Trial, finite_number, whole_number

VERSION = 1
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Finished:
    """How a search ended: why, and its held-out scores (None where they were not made)."""

    reason: StopReason
    held_out: tuple[float, ...] | None
    baseline_held_out: tuple[float, ...] | None


@dataclass(slots=True)
class SearchState:
    """What a killed search needs to go on as if nothing had happened.

    Attributes:
        fingerprint: Of pool, split and settings; a state with another one is of no use.
        proposals: The lattice's proposals, fixed when the search began.
        archived: The archived program, fixed when the search began.
        trials: In order.
        finished: Set when the search is over.
    """

    fingerprint: str
    proposals: tuple[Program, ...] = ()
    archived: Program | None = None
    trials: list[Trial] = field(default_factory=list)
    finished: Finished | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, exact to the bit."""
        done = self.finished
        return {
            "version": VERSION,
            "fingerprint": self.fingerprint,
            "proposals": [list(program) for program in self.proposals],
            "archived": None if self.archived is None else list(self.archived),
            "trials": [trial.to_json() for trial in self.trials],
            "finished": None
            if done is None
            else {
                "reason": done.reason.value,
                "heldOut": _listed(done.held_out),
                "baselineHeldOut": _listed(done.baseline_held_out),
            },
        }

    def check(self, space: ProgramSpace, validation: int, held_out: int) -> None:
        """Checks that a state from elsewhere can be that of a search.

        Args:
            space: The group's programs.
            validation: Records of the validation split.
            held_out: Records of the held-out split.

        Raises:
            ValueError: It cannot: programs, records or scores are named that do not exist.
        """
        programs = [*self.proposals, *([] if self.archived is None else [self.archived])]
        for program in programs:
            _check_program(program, space)
        for trial in self.trials:
            check_trial(trial, space, validation)
        if self.trials and (self.trials[0].program != space.base or not self.trials[0].whole):
            raise ValueError("its first trial is not that of the declared program")
        if self.finished is not None:
            for scores in (self.finished.held_out, self.finished.baseline_held_out):
                if scores is not None and not (self.trials and len(scores) == held_out):
                    raise ValueError("its held-out scores are not one a record")
                _check_scores(scores or ())

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SearchState:
        """Reads what ``to_json`` wrote.

        Raises:
            ValueError: It is not a state of this version.
        """
        try:
            if data["version"] != VERSION:
                raise ValueError(f"it has version {data['version']!r}")
            archived, done = data["archived"], data["finished"]
            trials = [Trial.from_json(trial) for trial in data["trials"]]
            state = cls(
                fingerprint=str(data["fingerprint"]),
                proposals=tuple(tuple(map(whole_number, one)) for one in data["proposals"]),
                archived=None if archived is None else tuple(map(whole_number, archived)),
                trials=trials,
                finished=None
                if done is None
                else Finished(
                    StopReason(done["reason"]),
                    _scores(done["heldOut"]),
                    _scores(done["baselineHeldOut"]),
                ),
            )
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError("it is not a search's state") from error
        if [trial.number for trial in trials] != list(range(len(trials))):
            raise ValueError("its trials are not in order")
        return state


def check_trial(trial: Trial, space: ProgramSpace, validation: int) -> None:
    """Checks that a trial can be one of a search.

    Raises:
        ValueError: Its program, its records or its scores cannot be.
    """
    _check_program(trial.program, space)
    if trial.rows is None:
        if len(trial.scores) != validation or abs(trial.score - _mean(trial.scores)) > _ROUNDING:
            raise ValueError(f"trial {trial.number} is not scored on the whole split")
    elif list(trial.rows) != sorted(set(trial.rows)) or max(trial.rows, default=-1) >= validation:
        raise ValueError(f"trial {trial.number} names records that do not exist")
    if trial.parse_failures > len(trial.scores):
        raise ValueError(f"trial {trial.number} failed on more records than it scored")
    _check_scores(trial.scores)


def fingerprint(
    group: str,
    settings: SearchSettings,
    pool_digest: str,
    validation: Sequence[str],
    held_out: Sequence[str],
) -> str:
    """Returns the digest of all that the trials depend on, budgets aside.

    A budget may be raised while a run is suspended; the trials stay what they are.
    """
    depends_on = {
        "group": group,
        "pool": pool_digest,
        "validation": list(validation),
        "heldOut": list(held_out),
        "settings": {k: v for k, v in asdict(settings).items() if k != "max_calls"},
    }
    text = json.dumps(depends_on, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _listed(scores: tuple[float, ...] | None) -> list[float] | None:
    return None if scores is None else list(scores)


def _scores(value: Sequence[float] | None) -> tuple[float, ...] | None:
    return None if value is None else tuple(finite_number(score) for score in value)


def _check_program(program: Program, space: ProgramSpace) -> None:
    if len(program) != len(space.counts) or not all(
        0 <= index < count for index, count in zip(program, space.counts, strict=True)
    ):
        raise ValueError("it names a program that does not exist")


def _check_scores(scores: Sequence[float]) -> None:
    if not all(0.0 <= score <= 1.0 for score in scores):
        raise ValueError("a score is not within 0 and 1")


def _mean(scores: Sequence[float]) -> float:
    return sum(scores) / len(scores) if scores else 0.0
