"""Stage 44: proposes each node's candidates, once for the whole run.

As in MIPROv2: the base program is run on a few training records, its good runs become
demonstrations, and a model proposes instructions grounded in them. Candidate 0 of a node is the
declared program; each other one pairs an instruction with a demonstration set. The work is saved
after bootstrapping and after each node, so that a killed prepare never proposes a node again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from cascade_operator.agents.candidate import Candidate, Demonstration, Source
from cascade_operator.api.canonical import canonical_json
from cascade_operator.api.cascade import CascadeSpec, NodeSpec
from cascade_operator.monitoring.stage_log import log_stage, run_stage
from cascade_operator.training.calls.budget import BudgetExceeded
from cascade_operator.training.demonstrations import (
    Bootstrapped,
    RecordedSteps,
    SetLimits,
    bootstrap,
    demonstration_sets,
    labelled,
)
from cascade_operator.training.evaluate import Record, score_runs
from cascade_operator.training.instructions import (
    InstructionProposer,
    InstructionTask,
    usable_instruction,
)
from cascade_operator.training.metric import Metric
from cascade_operator.training.pool import CandidatePool
from cascade_operator.training.proposal_state import NodeProposal, ProposalState, ProposalStore
from cascade_operator.training.runs import BatchedCascade


@dataclass(frozen=True, slots=True)
class ProposalSettings:
    """How candidates are proposed.

    Attributes:
        candidates: Node name -> candidates wanted, the base included.
        seed: Of everything random.
        limits: Node name -> bounds of its demonstration sets; the default's for others.
        max_bootstrap_records: Training records the base program is run on; None for twice the
            candidates wanted, 4 to 16.
        quantile: Which quantile of the base program's scores a bootstrapped record must reach.
        max_calls: Logical calls in all; None for no limit.
    """

    candidates: Mapping[str, int]
    seed: int = 42
    limits: Mapping[str, SetLimits] = field(default_factory=dict)
    max_bootstrap_records: int | None = None
    quantile: float = 0.5
    max_calls: int | None = None

    def bootstrap_records(self, nodes: int) -> int:
        """Training records to run: at most half of the calls go into bootstrapping."""
        wanted = self.max_bootstrap_records
        if wanted is None:
            wanted = min(16, max(4, 2 * (max(self.candidates.values(), default=1) - 1)))
        if self.max_calls is not None:
            wanted = min(wanted, self.max_calls // 2 // max(1, nodes))
        return max(0, wanted)


@dataclass(frozen=True, slots=True)
class Proposals:
    """The result.

    Attributes:
        pool: Every node's candidates.
        calls: Logical calls it took, over all attempts of prepare.
        notes: What a user should know: nodes with fewer candidates, or without proposals.
    """

    pool: CandidatePool
    calls: int
    notes: tuple[str, ...]


class ProposalRecord(Record, RecordedSteps, Protocol):
    """What proposing reads of a training record; the trace store's records have it."""


def propose_pool(
    spec: CascadeSpec,
    base: Mapping[str, Candidate],
    records: Sequence[ProposalRecord],
    settings: ProposalSettings,
    *,
    cascade: BatchedCascade,
    metric: Metric,
    proposer: InstructionProposer,
    store: ProposalStore,
    check: Callable[[], None] = lambda: None,
) -> Proposals:
    """Proposes candidates for every node.

    Args:
        spec: The cascade.
        base: Node name -> candidate 0, the declared program.
        records: The training split, in a fixed order.
        settings: See ProposalSettings.
        cascade: Runs the base program for bootstrapping.
        metric: Scores those runs.
        proposer: Proposes instructions.
        store: Keeps the state between attempts of prepare.
        check: Asked before each call; raises to leave (a guard's ``check``).

    Raises:
        ServiceUnavailable: A server failed; what was finished is saved.
        MemoryGateReached: Likewise, from ``check``.
        Terminated: Likewise.
    """
    fingerprint = _fingerprint(base, records, settings)
    state = ProposalState.restored(store.load_state(), fingerprint)
    with run_stage(44, nodes=len(spec.nodes), records=len(records)):
        if state.bootstrapped is None:
            state.bootstrapped = _bootstrap(
                spec, base, records, settings, cascade=cascade, metric=metric
            )
            store.save_state(state.to_json())
        for node in spec.nodes:
            if node.name in state.nodes:
                continue
            found = state.bootstrapped.demonstrations.get(node.name, ())
            quota = node_quota(spec, settings, state.bootstrapped.calls)
            work = _NodeWork(node, base[node.name], found, labelled(node, records), quota)
            state.nodes[node.name] = _propose_node(work, settings, proposer, check)
            store.save_state(state.to_json())
    pool = CandidatePool({one.name: state.nodes[one.name].candidates for one in spec.nodes})
    notes = [note for one in spec.nodes for note in state.nodes[one.name].notes]
    calls = state.bootstrapped.calls + sum(node.calls for node in state.nodes.values())
    return Proposals(pool, calls, tuple(notes))


def _bootstrap(
    spec: CascadeSpec,
    base: Mapping[str, Candidate],
    records: Sequence[ProposalRecord],
    settings: ProposalSettings,
    *,
    cascade: BatchedCascade,
    metric: Metric,
) -> Bootstrapped:
    chosen = _drawn(records, settings.bootstrap_records(len(spec.nodes)), settings.seed)
    if not any(settings.limits.get(n.name, SetLimits()).bootstrapped for n in spec.nodes):
        chosen = []
    try:
        runs = cascade.run(chosen, base)
    except BudgetExceeded as spent:  # recorded steps still make demonstrations
        log_stage(44, f"no base runs: {spent}")
        chosen, runs = [], []
    scores = score_runs(metric, chosen, runs).scores
    ids = [record.record_id for record in chosen]
    found = bootstrap(spec, ids, runs, scores, quantile=settings.quantile)
    log_stage(44, f"{found.passed} of {found.records} base runs reached {found.threshold:.4f}")
    return found


@dataclass(frozen=True, slots=True)
class _NodeWork:
    """What one node's candidates are made of, and how many calls they may take."""

    node: NodeSpec
    base: Candidate
    bootstrapped: Sequence[Demonstration]
    labels: Sequence[Demonstration]
    quota: int | None


def _propose_node(
    work: _NodeWork,
    settings: ProposalSettings,
    proposer: InstructionProposer,
    check: Callable[[], None],
) -> NodeProposal:
    name = work.node.name
    wanted = max(0, settings.candidates.get(name, 1) - 1)
    limits = settings.limits.get(name, SetLimits())
    seed = _node_seed(settings.seed, name)
    sets = demonstration_sets(work.bootstrapped, work.labels, limits, count=2 * wanted, seed=seed)
    instructions, calls = _instructions(work, sets, wanted, proposer, check)
    candidates = _paired(work, instructions, sets, wanted)
    notes = []
    if wanted and not instructions:
        notes.append(
            f"{name}: the model proposed no usable instruction; candidates differ in "
            "demonstrations only"
        )
    if len(candidates) <= wanted:
        notes.append(
            f"{name}: {len(candidates)} of {wanted + 1} candidates; the training split "
            "gives no more distinct ones"
        )
    return NodeProposal(candidates, calls, tuple(notes))


def _instructions(
    work: _NodeWork,
    sets: Sequence[Sequence[Demonstration]],
    wanted: int,
    proposer: InstructionProposer,
    check: Callable[[], None],
) -> tuple[list[str], int]:
    """Asks for instructions: one call each, and one more in all where one was not usable."""
    attempts = wanted + 1 if wanted else 0
    if work.quota is not None:
        attempts = min(attempts, work.quota)
    known = [work.base.instructions]
    calls = 0
    while calls < attempts and len(known) <= wanted:
        check()
        examples = sets[calls % len(sets)] if sets else ()
        task = InstructionTask(work.node, work.base.instructions, examples, calls)
        calls += 1
        try:
            text = proposer.propose(task)
        except BudgetExceeded:
            break
        proposed = usable_instruction(text, known)
        if proposed is not None:
            known.append(proposed)
    return known[1:], calls


def _paired(
    work: _NodeWork,
    instructions: Sequence[str],
    sets: Sequence[tuple[Demonstration, ...]],
    wanted: int,
) -> tuple[Candidate, ...]:
    """Pairs the i-th instruction with the i-th set, then fills with what is left of either.

    Where a model proposed too little, the rest are the declared instructions with further sets;
    where there are too few sets, the rest are instructions alone.
    """
    base = work.base
    matched = min(len(instructions), len(sets))
    candidates = [
        *(Candidate(i, s, "proposed") for i, s in zip(instructions, sets, strict=False)),
        *(Candidate(instruction, (), "proposed") for instruction in instructions[matched:]),
        *(Candidate(base.instructions, s, _source(work, s)) for s in sets[matched:]),
        *(Candidate(base.instructions, s, _source(work, s)) for s in sets[:matched]),
        *(Candidate(instruction, (), "proposed") for instruction in instructions[:matched]),
    ]
    found = {base.digest: base}
    for candidate in candidates:
        if len(found) <= wanted:
            found.setdefault(candidate.digest, candidate)
    return tuple(found.values())


def _source(work: _NodeWork, chosen: Sequence[Demonstration]) -> Source:
    return "bootstrapped" if any(one in work.bootstrapped for one in chosen) else "labeled"


def node_quota(spec: CascadeSpec, settings: ProposalSettings, spent: int) -> int | None:
    """Calls one node may take; fixed by the settings, so a resumed prepare has the same."""
    if settings.max_calls is None:
        return None
    return max(0, settings.max_calls - spent) // max(1, len(spec.nodes))


def _drawn(records: Sequence[ProposalRecord], count: int, seed: int) -> list[ProposalRecord]:
    """Draws records by a salted hash of their ids: the same ones however they are ordered."""

    def rank(record: ProposalRecord) -> bytes:
        return hashlib.sha256(f"{seed}:bootstrap:{record.record_id}".encode()).digest()

    return sorted(records, key=rank)[:count]


def _node_seed(seed: int, node: str) -> int:
    digest = hashlib.sha256(f"{seed}:demonstrations:{node}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def _fingerprint(
    base: Mapping[str, Candidate],
    records: Sequence[ProposalRecord],
    settings: ProposalSettings,
) -> str:
    depends_on: dict[str, Any] = {
        "base": {name: candidate.digest for name, candidate in base.items()},
        "records": [record.record_id for record in records],
        "settings": asdict(settings),
    }
    return hashlib.sha256(canonical_json(depends_on).encode("utf-8", "replace")).hexdigest()
