"""Runs the cascade over many records, node by node.

All records pass a node before any passes the next one: their prompts share that node's
instructions and demonstrations, so the server's prompt cache hits. What a node answered is kept
by (node, candidate, input fields), so the programs of a group never run a shared prefix twice.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from cascade_operator.agents.candidate import Candidate
from cascade_operator.api.canonical import canonical_json
from cascade_operator.api.cascade import CascadeSpec
from cascade_operator.monitoring.stage_log import run_stage
from cascade_operator.stages import agent_stage
from cascade_operator.training.batch import BoundedBatch
from cascade_operator.training.calls.tally import tallied

MAX_KEPT = 20_000
"""Node outcomes kept in the process, about 1 KB each; behind them stands the shared call cache."""


class RecordedInputs(Protocol):
    """What a run reads of a record (the trace store's records have it)."""

    @property
    def record_id(self) -> str: ...  # noqa: D102 - described by the class

    @property
    def inputs(self) -> Mapping[str, Mapping[str, Any]]: ...  # noqa: D102


class Outcome(Protocol):
    """What a node answered; agents.cascade.NodeOutcome is one."""

    @property
    def outputs(self) -> dict[str, Any]: ...  # noqa: D102 - described by the class

    @property
    def parsed(self) -> bool: ...  # noqa: D102

    @property
    def reasoning(self) -> str | None: ...  # noqa: D102


class NodeRunner(Protocol):
    """Runs one node; agents.cascade.Cascade is one."""

    def run_node(self, name: str, candidate: Candidate, fields: Mapping[str, Any]) -> Outcome:
        """Runs a node; raises ServiceUnavailable when its server fails."""
        ...


@dataclass(slots=True)
class Run:
    """One record on its way through the cascade.

    Attributes:
        fields: Every field by name, as given and written so far.
        steps: Node name -> (the fields it read, the fields it wrote).
        reasoning: What chain-of-thought nodes wrote before their fields, by node name.
        failed: The node whose answer could not be read; later nodes do not run.
    """

    fields: dict[str, Any]
    steps: dict[str, tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=dict)
    reasoning: dict[str, str] = field(default_factory=dict)
    failed: str | None = None

    @property
    def written(self) -> dict[str, Any]:
        """What the nodes wrote, the latest value of each name."""
        return {name: v for _, outputs in self.steps.values() for name, v in outputs.items()}

    def take(self, node: str, read: dict[str, Any], outcome: Outcome) -> None:
        """Takes over what a node answered."""
        if not outcome.parsed:
            self.failed = node
            return
        self.steps[node] = (read, dict(outcome.outputs))
        self.fields.update(outcome.outputs)
        if outcome.reasoning:
            self.reasoning[node] = outcome.reasoning

    def known(self, reads: Sequence[str]) -> dict[str, Any]:
        """Returns those of the fields a node reads that are there."""
        return {name: self.fields[name] for name in reads if name in self.fields}


class BatchedCascade:
    """A cascade that runs whole batches.

    Args:
        spec: The cascade.
        runner: Runs a node.
        batch: Bounds the calls in flight and says when to leave.
        on_spared: Told how many calls, and tokens, an outcome already known has spared.
    """

    def __init__(
        self,
        spec: CascadeSpec,
        runner: NodeRunner,
        batch: BoundedBatch,
        *,
        on_spared: Callable[[int, int], None] = lambda _calls, _tokens: None,
    ) -> None:
        self._spec = spec
        self._nodes = [(agent_stage(tier.code), node) for tier in spec.tiers for node in tier.nodes]
        self._runner = runner
        self._batch = batch
        self._on_spared = on_spared
        self._memory = _Memory(MAX_KEPT)

    def run(
        self,
        records: Sequence[RecordedInputs],
        candidates: Mapping[str, Candidate],
        last_node: str | None = None,
    ) -> list[Run]:
        """Runs records through the cascade.

        Args:
            records: The records.
            candidates: Node name -> what it runs with.
            last_node: Where to end; None for the cascade's last node.

        Returns:
            One run per record, in order.
        """
        runs = [Run(initial_fields(self._spec, record)) for record in records]
        for code, node in self._nodes:
            reads = tuple(one.name for one in node.parsed.inputs)
            going = [run for run in runs if run.failed is None]
            given = [run.known(reads) for run in going]
            with run_stage(code, level=logging.DEBUG, node=node.name, records=len(given)):
                outcomes = self._outcomes(node.name, candidates[node.name], given)
            for run, fields, outcome in zip(going, given, outcomes, strict=True):
                run.take(node.name, fields, outcome)
            if node.name == last_node:
                break
        return runs

    def _outcomes(
        self, node: str, candidate: Candidate, given: Sequence[Mapping[str, Any]]
    ) -> list[Outcome]:
        """Returns one outcome per set of fields, each distinct one from memory or by one call."""
        keys = [_key(node, candidate, fields) for fields in given]
        known = {key: kept for key in keys if (kept := self._memory.get(key)) is not None}
        calls = {key: f for key, f in zip(keys, given, strict=True) if key not in known}

        def call(fields: Mapping[str, Any]) -> _Kept:
            with tallied() as tally:
                outcome = self._runner.run_node(node, candidate, fields)
            return _Kept(outcome, tally.calls, tally.tokens)

        answers = self._batch.map(call, list(calls.values()))
        for key, kept in zip(calls, answers, strict=True):
            known[key] = kept
            self._memory.put(key, kept)
        for key in keys:
            if calls.pop(key, None) is None:  # else this is the run it was called for
                self._on_spared(known[key].calls, known[key].tokens)
        return [known[key].outcome for key in keys]


@dataclass(frozen=True, slots=True)
class _Kept:
    """A node's outcome, and the calls and tokens it took."""

    outcome: Outcome
    calls: int
    tokens: int


class _Memory:
    """The latest node outcomes."""

    def __init__(self, limit: int) -> None:
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._limit = limit

    def get(self, key: str) -> _Kept | None:
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
        return kept

    def put(self, key: str, kept: _Kept) -> None:
        self._kept[key] = kept
        if len(self._kept) > self._limit:
            self._kept.popitem(last=False)


def initial_fields(spec: CascadeSpec, record: RecordedInputs) -> dict[str, Any]:
    """Returns what a record gives the cascade: the fields that no earlier node writes.

    A field is taken from the first node whose recorded inputs have it; a missing one is left to
    the node that reads it, which knows whether it is optional.
    """
    recorded = [record.inputs.get(node.name, {}) for node in spec.nodes]
    given: dict[str, Any] = {}
    for name in spec.initial_fields():
        for fields in recorded:
            if name in fields:
                given[name] = fields[name]
                break
    return given


def _key(node: str, candidate: Candidate, fields: Mapping[str, Any]) -> str:
    text = f"{node}\n{candidate.digest}\n{canonical_json(fields)}"
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
