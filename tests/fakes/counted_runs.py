"""Whole runs of searches against a server that only counts: what an estimate is held against."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cascade_operator.agents.candidate import Candidate
from cascade_operator.api.canonical import canonical_json
from cascade_operator.api.cascade import CascadeSpec, NodeSpec, TierSpec
from cascade_operator.api.groups import NodeGroup, group_of
from cascade_operator.training.estimate.bound import Searched
from cascade_operator.training.estimate.flow import given_ids, node_flows
from cascade_operator.training.estimate.simulation import Scene
from cascade_operator.training.evaluate import CascadeEvaluator
from cascade_operator.training.lattice import ParentResult, unions
from cascade_operator.training.outcome import GroupOutcome
from cascade_operator.training.pool import CandidatePool
from cascade_operator.training.search import GroupSearch, SearchSplit
from cascade_operator.training.space import ProgramSpace
from cascade_operator.training.strategy import SearchSettings
from fakes.evaluator import FakeGuard, MemoryCheckpoints, hashed
from fakes.records import FakeOutcome, FakeRecord

CHAIN = (
    ("plan", "request -> brief"),
    ("write", "brief -> draft"),
    ("act", "request, draft -> call"),
)
"""Each node reads what the one before it wrote."""
FORK = (("classify", "text -> kind"), ("extract", "text -> name"), ("act", "kind, name -> call"))
"""Two nodes read the text, the last one reads both."""


def cascade_of(nodes: Sequence[tuple[str, str]]) -> CascadeSpec:
    """A cascade of one node a tier."""
    return CascadeSpec(
        tiers=[
            TierSpec(name=f"t{at}", code=at, nodes=[NodeSpec(name=name, signature=signature)])
            for at, (name, signature) in enumerate(nodes)
        ]
    )


def all_groups(cascade: CascadeSpec) -> tuple[NodeGroup, ...]:
    """Every subset of the nodes, small ones first."""
    places = range(len(cascade.nodes))
    return tuple(
        group_of(cascade, chosen)
        for size in range(1, len(cascade.nodes) + 1)
        for chosen in itertools.combinations(places, size)
    )


def records_of(cascade: CascadeSpec, prefix: str, count: int) -> list[FakeRecord]:
    """Records that differ in every given field."""
    first = cascade.nodes[0].name
    given = cascade.initial_fields()
    return [
        FakeRecord(
            f"{prefix}{n}", {first: {name: f"{prefix} {name} {n}" for name in given}}, {}, {}
        )
        for n in range(count)
    ]


@dataclass
class CountingServer:
    """Answers each distinct prompt once, as the shared cache does.

    Attributes:
        agree: Nodes whose answer does not depend on their candidate.
    """

    agree: frozenset[str] = frozenset()
    asked: set[str] = field(default_factory=set)

    def run_node(self, name: str, candidate: Candidate, fields: Mapping[str, Any]) -> FakeOutcome:
        prompt = canonical_json([name, candidate.instructions, dict(fields)])
        self.asked.add(prompt)
        text = canonical_json([name, dict(fields)]) if name in self.agree else prompt
        output = {"plan": "brief", "write": "draft", "classify": "kind", "extract": "name"}
        return FakeOutcome({output.get(name, "call"): f"{hashed(text):.12f}"})


@dataclass
class HashedMetric:
    """Scores an output by its text alone."""

    last_node: str | None = None

    def score_batch(
        self, _records: Sequence[object], outputs: Sequence[Mapping[str, Any]]
    ) -> list[float]:
        return [hashed(canonical_json(dict(output))) for output in outputs]


@dataclass
class CountedRun:
    """A run to search for real and to estimate.

    Attributes:
        nodes: Names and signatures.
        counts: Candidates a node.
        settings: Of every group.
        validation: Records of that split.
        held_out: Likewise.
        lattice: Whether groups start from their subsets.
    """

    nodes: Sequence[tuple[str, str]] = CHAIN
    counts: Sequence[int] = (2, 2, 2)
    settings: SearchSettings = SearchSettings(trials=8)  # noqa: RUF009 (frozen)
    validation: int = 3
    held_out: int = 2
    lattice: bool = True

    def __post_init__(self) -> None:
        self.cascade = cascade_of(self.nodes)
        self.groups = all_groups(self.cascade)
        self.pool = CandidatePool(
            {
                node.name: tuple(Candidate(f"{node.name} {n}") for n in range(count))
                for node, count in zip(self.cascade.nodes, self.counts, strict=True)
            }
        )

    def scene(self, agreement: float = 0.0) -> Scene:
        """The run as an estimate sees it."""
        flows = node_flows(self.cascade)
        validation = records_of(self.cascade, "v", self.validation)
        held_out = records_of(self.cascade, "h", self.held_out)
        last = len(flows) - 1
        return Scene(
            flows=flows,
            counts=tuple(self.counts),
            searches=tuple(Searched(group, self.settings, last) for group in self.groups),
            validation=given_ids(self.cascade, flows, validation),
            held_out=given_ids(self.cascade, flows, held_out),
            agreement=(agreement,) * len(flows),
            validation_size=self.validation,
            held_out_size=self.held_out,
            seed=self.settings.seed,
            lattice=self.lattice,
        )

    def search(self, server: CountingServer) -> list[GroupOutcome]:
        """Searches every group as Jobs do, on one server."""
        validation = records_of(self.cascade, "v", self.validation)
        held_out = records_of(self.cascade, "h", self.held_out)
        split = SearchSplit(
            tuple(one.record_id for one in validation), tuple(one.record_id for one in held_out)
        )
        outcomes: list[GroupOutcome] = []
        for group in self.groups:
            space = ProgramSpace.of(group.nodes, self.pool.counts)
            parents = [
                ParentResult(one.group, one.choice)
                for one in outcomes
                if one.group.size == group.size - 1 and set(one.group.nodes) < set(group.nodes)
            ]
            search = GroupSearch(
                group,
                space,
                split,
                self.settings,
                evaluator=CascadeEvaluator(
                    self.cascade, server, self.pool, [*validation, *held_out], HashedMetric()
                ),
                checkpoints=MemoryCheckpoints(),
                guard=FakeGuard(),
                proposals=unions(space, parents) if self.lattice else (),
            )
            outcomes.append(search.run())
        return outcomes
