"""The state of a search as its checkpoint keeps it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from cascade_operator.api.status import StopReason
from cascade_operator.training.space import Program
from cascade_operator.training.strategy import SearchSettings
from cascade_operator.training.trial import Trial

VERSION = 1


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
                proposals=tuple(tuple(map(int, program)) for program in data["proposals"]),
                archived=None if archived is None else tuple(map(int, archived)),
                trials=trials,
                finished=None
                if done is None
                else Finished(
                    StopReason(done["reason"]),
                    _scores(done["heldOut"]),
                    _scores(done["baselineHeldOut"]),
                ),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("it is not a search's state") from error
        if [trial.number for trial in trials] != list(range(len(trials))):
            raise ValueError("its trials are not in order")
        return state


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
    return None if value is None else tuple(float(score) for score in value)
