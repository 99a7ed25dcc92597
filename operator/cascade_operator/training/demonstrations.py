"""Stage 44: demonstration sets of a node, bootstrapped and labelled.

A bootstrapped demonstration is what the base program itself read and wrote at a node on a
training record that ended well (DSPy's BootstrapFewShot). A labelled one is what the record holds
for the node. Sets vary as MIPROv2's do: mixed, labelled only, then random sizes and orders.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cascade_operator.agents.candidate import Demonstration
from cascade_operator.api.canonical import canonical_json
from cascade_operator.api.cascade import CascadeSpec, NodeSpec
from cascade_operator.training.runs import Run

_ATTEMPTS = 20
"""Draws of a set before the node has to do with fewer distinct ones."""
REASONING = "reasoning"


class RecordedSteps(Protocol):
    """What a labelled demonstration is made of (the trace store's records have it)."""

    @property
    def record_id(self) -> str: ...  # noqa: D102 - described by the class

    @property
    def inputs(self) -> Mapping[str, Mapping[str, Any]]: ...  # noqa: D102

    @property
    def outputs(self) -> Mapping[str, Mapping[str, Any]]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    """What bootstrapping found.

    Attributes:
        demonstrations: Node name -> demonstrations, in the order of the records.
        threshold: The score a record had to reach.
        records: How many records were run.
        passed: How many reached it.
        calls: Logical calls it took.
    """

    demonstrations: Mapping[str, tuple[Demonstration, ...]]
    threshold: float
    records: int
    passed: int
    calls: int


def bootstrap(
    spec: CascadeSpec,
    record_ids: Sequence[str],
    runs: Sequence[Run],
    scores: Sequence[float],
    *,
    quantile: float,
) -> Bootstrapped:
    """Takes demonstrations from the base program's good runs.

    The threshold is a quantile of these very scores: a fixed one that a weak program never
    reaches would cost every call and yield nothing.

    Args:
        spec: The cascade.
        record_ids: The training records that were run.
        runs: Their runs.
        scores: Their scores in [0, 1]; a run that failed to parse has 0.
        quantile: Which quantile of the scores a record must reach; it must also exceed 0.
    """
    threshold = _quantile(scores, quantile)
    found: dict[str, list[Demonstration]] = {node.name: [] for node in spec.nodes}
    passed = 0
    for record_id, run, score in zip(record_ids, runs, scores, strict=True):
        if run.failed is not None or score <= 0.0 or score < threshold:
            continue
        passed += 1
        for node, (read, wrote) in run.steps.items():
            reasoning = run.reasoning.get(node)
            outputs = wrote if reasoning is None else {REASONING: reasoning, **wrote}
            found[node].append(Demonstration(record_id, read, outputs))
    kept = {node: tuple(demonstrations) for node, demonstrations in found.items()}
    calls = sum(len(run.steps) + (run.failed is not None) for run in runs)
    return Bootstrapped(kept, threshold, len(runs), passed, calls)


def labelled(node: NodeSpec, records: Sequence[RecordedSteps]) -> tuple[Demonstration, ...]:
    """Returns each record's own step at a node, restricted to the fields of its signature."""
    parsed = node.parsed
    reads = [one.name for one in parsed.inputs]
    writes = [one.name for one in parsed.outputs]
    found = []
    for record in records:
        given, wrote = record.inputs.get(node.name, {}), record.outputs.get(node.name, {})
        inputs = {name: given[name] for name in reads if name in given}
        outputs = {name: wrote[name] for name in writes if name in wrote}
        if inputs and len(outputs) == len(writes):
            found.append(Demonstration(record.record_id, inputs, outputs))
    return tuple(found)


def size_of(demonstration: Demonstration) -> int:
    """Characters a demonstration takes in a prompt, about."""
    return len(canonical_json([demonstration.inputs, demonstration.outputs]))


@dataclass(frozen=True, slots=True)
class SetLimits:
    """Bounds of one demonstration set.

    Attributes:
        bootstrapped: Bootstrapped demonstrations at most.
        labeled: Demonstrations as recorded at most.
        characters: Characters of the set at most; larger demonstrations are passed over.
    """

    bootstrapped: int = 2
    labeled: int = 2
    characters: int = 6000


def demonstration_sets(
    bootstrapped: Sequence[Demonstration],
    labels: Sequence[Demonstration],
    limits: SetLimits,
    *,
    count: int,
    seed: int,
) -> tuple[tuple[Demonstration, ...], ...]:
    """Draws distinct demonstration sets for one node; a record appears once in a set.

    Args:
        bootstrapped: Demonstrations of the base program's good runs.
        labels: Demonstrations as recorded.
        limits: Bounds of a set.
        count: Sets wanted.
        seed: Of the draws.

    Returns:
        Up to ``count`` sets, none empty; fewer where the records do not give more.
    """
    generator = random.Random(seed)
    sets: list[tuple[Demonstration, ...]] = []
    seen: set[frozenset[str]] = set()
    for attempt in range(count * _ATTEMPTS):
        if len(sets) >= count:
            break
        sizes = (limits.bootstrapped, limits.labeled)
        if attempt == 1 and limits.labeled:
            sizes = (0, limits.labeled)
        elif attempt > 0:
            sizes = (generator.randint(0, sizes[0]), generator.randint(0, sizes[1]))
        chosen = _choose(bootstrapped, labels, sizes, limits.characters, generator)
        key = frozenset(canonical_json([d.inputs, d.outputs]) for d in chosen)
        if chosen and key not in seen:
            seen.add(key)
            sets.append(chosen)
    return tuple(sets)


def _choose(
    bootstrapped: Sequence[Demonstration],
    labels: Sequence[Demonstration],
    sizes: tuple[int, int],
    characters: int,
    generator: random.Random,
) -> tuple[Demonstration, ...]:
    chosen: list[Demonstration] = []
    records: set[str | None] = set()
    for kind, size in zip((bootstrapped, labels), sizes, strict=True):
        limit = len(chosen) + size
        for demonstration in _shuffled(kind, generator):
            length = size_of(demonstration)
            if len(chosen) >= limit:
                break
            if length <= characters and demonstration.record_id not in records:
                chosen.append(demonstration)
                records.add(demonstration.record_id)
                characters -= length
    return tuple(chosen)


def _shuffled(
    demonstrations: Collection[Demonstration], generator: random.Random
) -> list[Demonstration]:
    shuffled = list(demonstrations)
    generator.shuffle(shuffled)
    return shuffled


def _quantile(scores: Sequence[float], quantile: float) -> float:
    """The smallest score that at least this share of the scores does not exceed."""
    if not scores:
        return 0.0
    ordered = sorted(scores)
    return ordered[min(len(ordered) - 1, int(quantile * len(ordered)))]
