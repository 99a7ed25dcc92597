"""Records and a node runner for tests of training: a cascade of two nodes, `plan` and `act`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cascade_operator.agents.candidate import Candidate
from cascade_operator.api.cascade import CascadeSpec, NodeSpec, TierSpec

SPEC = CascadeSpec(
    tiers=[
        TierSpec(
            name="first",
            code=0,
            nodes=[
                NodeSpec(
                    name="plan", signature="request -> brief", instructions="Say what is wanted."
                )
            ],
        ),
        TierSpec(
            name="second",
            code=10,
            nodes=[
                NodeSpec(
                    name="act",
                    signature="request, brief -> call: json",
                    instructions="Write the call.",
                )
            ],
        ),
    ]
)


@dataclass(frozen=True, slots=True)
class FakeRecord:
    """A stored record; the validated call has the request's number."""

    record_id: str
    inputs: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, Mapping[str, Any]]
    validated: Mapping[str, Any]


def stored(number: int, **changes: Any) -> FakeRecord:
    """The record of one request."""
    request, brief, call = f"request {number}", f"brief {number}", {"n": number}
    values: dict[str, Any] = {
        "record_id": f"r{number}",
        "inputs": {"plan": {"request": request}, "act": {"request": request, "brief": brief}},
        "outputs": {"plan": {"brief": brief}, "act": {"call": call}},
        "validated": {"call": call},
    }
    return FakeRecord(**(values | changes))


@dataclass(frozen=True, slots=True)
class FakeOutcome:
    """What a node answered."""

    outputs: dict[str, Any]
    parsed: bool = True
    reasoning: str | None = None


Answer = Callable[[str, Candidate, Mapping[str, Any]], FakeOutcome]


def answer_right(name: str, candidate: Candidate, fields: Mapping[str, Any]) -> FakeOutcome:
    """Each node writes what the record holds."""
    number = int(fields["request"].split()[-1])
    if name == "plan":
        return FakeOutcome({"brief": f"brief {number}"})
    return FakeOutcome({"call": {"n": number}})


@dataclass
class FakeRunner:
    """Runs nodes by a function, and notes each call."""

    answer: Answer = answer_right
    calls: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run_node(self, name: str, candidate: Candidate, fields: Mapping[str, Any]) -> FakeOutcome:
        with self._lock:
            self.calls.append((name, candidate.instructions, dict(fields)))
        return self.answer(name, candidate, fields)
