"""What a killed prepare needs to go on proposing where it stopped."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from cascade_operator.agents.candidate import Candidate, Demonstration
from cascade_operator.api.errors import DataError
from cascade_operator.training.demonstrations import Bootstrapped

_LOG = logging.getLogger(__name__)

VERSION = 1


class ProposalStore(Protocol):
    """Keeps the state between attempts."""

    def load_state(self) -> dict[str, Any] | None:
        """Returns the latest state; None when there is none."""
        ...

    def save_state(self, state: dict[str, Any]) -> None:
        """Saves a state; raises ServiceUnavailable when that is refused."""
        ...


@dataclass(frozen=True, slots=True)
class NodeProposal:
    """One finished node.

    Attributes:
        candidates: Its candidates, the base first.
        calls: Model calls it took.
        notes: What a user should know.
    """

    candidates: tuple[Candidate, ...]
    calls: int
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class ProposalState:
    """What was finished so far.

    Attributes:
        fingerprint: Of the base programs, the training split and the settings.
        bootstrapped: Set once the base program has run.
        nodes: Finished nodes by name.
    """

    fingerprint: str
    bootstrapped: Bootstrapped | None = None
    nodes: dict[str, NodeProposal] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        found = self.bootstrapped
        return {
            "version": VERSION,
            "fingerprint": self.fingerprint,
            "bootstrapped": None if found is None else _bootstrapped_json(found),
            "nodes": {
                name: {
                    "candidates": [candidate.to_json() for candidate in node.candidates],
                    "calls": node.calls,
                    "notes": list(node.notes),
                }
                for name, node in self.nodes.items()
            },
        }

    @classmethod
    def restored(cls, data: Mapping[str, Any] | None, fingerprint: str) -> ProposalState:
        """Returns the saved state where it fits, else an empty one (and says so)."""
        if data is None:
            return cls(fingerprint)
        try:
            if data["version"] == VERSION and data["fingerprint"] == fingerprint:
                return cls._from_json(data)
            why = "it belongs to other records or settings"
        except (
            KeyError,
            TypeError,
            AttributeError,
            ArithmeticError,
            ValueError,
            DataError,
        ) as error:
            why = f"it cannot be read ({type(error).__name__}: {error})"
        _LOG.warning("saved proposals are left out: %s", why)
        return cls(fingerprint)

    @classmethod
    def _from_json(cls, data: Mapping[str, Any]) -> ProposalState:
        found = data["bootstrapped"]
        return cls(
            fingerprint=str(data["fingerprint"]),
            bootstrapped=None if found is None else _bootstrapped(found),
            nodes={
                str(name): NodeProposal(
                    tuple(Candidate.from_json(one) for one in node["candidates"]),
                    int(node["calls"]),
                    tuple(map(str, node["notes"])),
                )
                for name, node in data["nodes"].items()
            },
        )


def _bootstrapped_json(found: Bootstrapped) -> dict[str, Any]:
    return {
        "demonstrations": {
            node: [one.to_json() for one in demonstrations]
            for node, demonstrations in found.demonstrations.items()
        },
        "threshold": found.threshold,
        "records": found.records,
        "passed": found.passed,
        "calls": found.calls,
    }


def _bootstrapped(data: Mapping[str, Any]) -> Bootstrapped:
    return Bootstrapped(
        demonstrations={
            str(node): tuple(Demonstration.from_json(one) for one in demonstrations)
            for node, demonstrations in data["demonstrations"].items()
        },
        threshold=float(data["threshold"]),
        records=int(data["records"]),
        passed=int(data["passed"]),
        calls=int(data["calls"]),
    )
