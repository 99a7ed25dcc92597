"""What prepare's own model calls will be: base runs, proposals, and a probe of each server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cascade_operator.agents.candidate import Candidate
from cascade_operator.api.cascade import CascadeSpec
from cascade_operator.api.models_spec import ModelSpec, StructuredOutput
from cascade_operator.api.session import TrainingSessionSpec
from cascade_operator.training.demonstrations import (
    RecordedSteps,
    SetLimits,
    demonstration_sets,
    labelled,
)
from cascade_operator.training.instructions import EXAMPLES, MAX_EXAMPLE
from cascade_operator.training.pool import CandidatePool
from cascade_operator.training.propose import ProposalSettings, node_quota

PROPOSAL_FRAME: Final = 1500
"""Characters of a proposal's prompt beside its examples."""
PROPOSED: Final = 300
"""Characters a proposed instruction is taken to have."""


@dataclass(frozen=True, slots=True)
class PrepareCalls:
    """Model calls of one prepare.

    Attributes:
        records: Training records that the declared program runs on.
        base_runs: Calls that takes, at most one a node and record.
        proposals: Calls for instructions, as expected.
        proposals_at_most: With the spare attempt of each node.
        probes: Servers that are asked whether they take a schema.
    """

    records: int = 0
    base_runs: int = 0
    proposals: int = 0
    proposals_at_most: int = 0
    probes: int = 0

    @property
    def likely(self) -> int:
        """Calls that are expected."""
        return self.base_runs + self.proposals + self.probes

    @property
    def at_most(self) -> int:
        """Calls that are not exceeded: a server that refuses a schema is probed twice."""
        return self.base_runs + self.proposals_at_most + 2 * self.probes


def prepare_calls(
    spec: TrainingSessionSpec, settings: ProposalSettings, *, training: int, asking: int
) -> PrepareCalls:
    """Counts the calls of prepare.

    Args:
        spec: The resolved spec.
        settings: How candidates are proposed.
        training: Records of the training split.
        asking: Nodes that ask a model.
    """
    nodes = spec.cascade.nodes
    records = min(training, settings.bootstrap_records(len(nodes)))
    if not any(settings.limits.get(n.name, SetLimits()).bootstrapped for n in nodes):
        records = 0
    quota = node_quota(spec.cascade, settings, records * len(nodes))
    likely = at_most = 0
    for node in nodes:
        wanted = max(0, settings.candidates.get(node.name, 1) - 1)
        attempts = wanted + 1 if wanted else 0
        likely += wanted if quota is None else min(wanted, quota)
        at_most += attempts if quota is None else min(attempts, quota)
    return PrepareCalls(records, records * asking, likely, at_most, len(_probed(spec)))


def _probed(spec: TrainingSessionSpec) -> set[tuple[str, ...]]:
    """What is asked once each: a model at a server, not what it is used for."""
    models: list[ModelSpec | None] = [spec.models.task, spec.models.prompt]
    models += [node.model for node in spec.cascade.nodes]
    return {
        (str(one.provider), one.endpoint, one.model, str(one.context_length))
        for one in models
        if one is not None and one.structured_output is StructuredOutput.AUTO
    }


def expected_pool(
    cascade: CascadeSpec,
    base: Mapping[str, Candidate],
    records: Sequence[RecordedSteps],
    settings: ProposalSettings,
) -> CandidatePool:
    """Returns a pool such as proposing may make: recorded steps stand for the model's own.

    Its instructions are as long as proposed ones tend to be; only lengths are read from it.
    """
    pool = {}
    for node in cascade.nodes:
        wanted = max(0, settings.candidates.get(node.name, 1) - 1)
        limits = settings.limits.get(node.name, SetLimits())
        steps = labelled(node, records)
        sets = demonstration_sets(steps, steps, limits, count=max(1, wanted), seed=settings.seed)
        declared = base[node.name]
        instructions = declared.instructions.ljust(PROPOSED, ".")
        pool[node.name] = (
            declared,
            *(
                # A number makes each one distinct, as proposals are.
                Candidate(f"{instructions}{at}", sets[at % len(sets)] if sets else (), "proposed")
                for at in range(wanted)
            ),
        )
    return CandidatePool(pool)


def proposal_characters(declared: Candidate, demonstration: float) -> float:
    """Characters of the prompt that asks for one instruction.

    Args:
        declared: The node's declared program.
        demonstration: Mean characters of one of the node's demonstrations.
    """
    return PROPOSAL_FRAME + len(declared.instructions) + EXAMPLES * min(demonstration, MAX_EXAMPLE)
