"""Stage 65: puts an estimate together from what is known of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from cascade_operator.api.estimate import CountRange, EstimateBasis, GroupEstimate, RunEstimate
from cascade_operator.api.models_spec import ModelSpec
from cascade_operator.api.records import SplitCounts
from cascade_operator.api.status import StopReason
from cascade_operator.training.calls.budget import BudgetLimits
from cascade_operator.training.estimate.bound import Searched, at_most_by_node
from cascade_operator.training.estimate.prompts import NodePrompts
from cascade_operator.training.estimate.purse import CallSize, Purse
from cascade_operator.training.estimate.schedule import PlannedJob, Schedule, exponent_of, schedule
from cascade_operator.training.estimate.simulation import GroupCount, Scene, simulate
from cascade_operator.training.estimate.speed import (
    UNKNOWN_EXPONENT,
    Speed,
    call_sizes,
    longest_sizes,
)

# Measured with tests/fakes/ticket_runs.py against tests/fakes/model_server.py on two cores: what a
# Job takes beside its calls, and its working set.
JOB_SECONDS: Final = 3.0
ARCHIVE_SECONDS: Final = 4.0
GROUP_BYTES: Final = 110 << 20
ARCHIVE_BYTES: Final = 160 << 20

TIME_STOPS: Final = StopReason.DEADLINE_EXCEEDED


@dataclass(frozen=True, slots=True)
class PrepareCost:
    """What prepare takes, or has taken.

    Attributes:
        calls: Model calls.
        input: Tokens sent.
        output: Tokens received.
        most_tokens: Tokens at most.
        cost: Money.
        seconds: From its start to its end.
        embeddings: Requests to the embedding server.
        use: Bytes it uses.
    """

    calls: CountRange = CountRange()  # noqa: RUF009 (frozen)
    input: float = 0.0
    output: float = 0.0
    most_tokens: float = 0.0
    cost: float = 0.0
    seconds: float = 0.0
    embeddings: int = 0
    use: int = 0


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Everything an estimate is made from.

    Attributes:
        scene: Nodes, groups and records.
        prompts: Lengths of prompts and answers, by node.
        models: Each node's model.
        split: Records by split.
        prepare: What prepare takes.
        speed: What servers showed.
        limits: The budget of calls, tokens and money.
        deadline: Seconds a run may take.
        parallelism: Jobs at once.
        calls_in_flight: Calls that one Job keeps in flight.
        group_limit: A group's memory limit in bytes.
        archive_limit: An archive Job's.
        memory_budget: Sum of limits at once; None for no bound.
        embeds: Whether the objective embeds outputs.
        notes: What the estimate assumes, for a reader.
    """

    scene: Scene
    prompts: tuple[NodePrompts, ...]
    models: tuple[ModelSpec, ...]
    split: SplitCounts
    prepare: PrepareCost = PrepareCost()
    speed: Speed = Speed()  # noqa: RUF009 (frozen)
    limits: BudgetLimits = BudgetLimits()  # noqa: RUF009 (frozen)
    deadline: float | None = None
    parallelism: int = 1
    calls_in_flight: int = 1
    group_limit: int = 1 << 30
    archive_limit: int = 1 << 30
    memory_budget: int | None = None
    embeds: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Estimated:
    """An estimate, and when its Jobs would run."""

    estimate: RunEstimate
    schedule: Schedule


def estimate_run(facts: RunFacts) -> Estimated:
    """Estimates a run. Pure; about a second at most, whatever the session asks for."""
    sizes = call_sizes(facts.prompts, facts.models, facts.speed)
    padded = tuple(
        row or (CallSize(),) * n for row, n in zip(sizes, facts.scene.counts, strict=True)
    )
    free = simulate(_unlimited(facts.scene), Purse(padded))
    counts = free
    if facts.limits != BudgetLimits():
        counts = simulate(facts.scene, _purse(facts, padded))
    planned = _schedule(facts, counts, padded)
    groups = {
        one.group.key: _group(facts, one, counts, free, planned, sizes=padded)
        for one in facts.scene.searches
    }
    return Estimated(_run(facts, counts, groups, planned, padded), planned)


def _unlimited(scene: Scene) -> Scene:
    return replace(
        scene,
        searches=tuple(
            replace(one, settings=replace(one.settings, max_calls=None)) for one in scene.searches
        ),
    )


def _purse(facts: RunFacts, sizes: Sequence[Sequence[CallSize]]) -> Purse:
    limits, spent = facts.limits, facts.prepare
    tokens = spent.input + spent.output
    return Purse(
        sizes,
        None if limits.calls is None else max(0.0, limits.calls - spent.calls.likely),
        None if limits.tokens is None else max(0.0, limits.tokens - tokens),
        None if limits.cost is None else max(0.0, limits.cost - spent.cost),
    )


def _schedule(
    facts: RunFacts, counts: Mapping[str, GroupCount], sizes: Sequence[Sequence[CallSize]]
) -> Schedule:
    searches = facts.scene.searches
    keys = {one.group.key: set(one.group.positions) for one in searches}
    jobs = [
        PlannedJob(
            key,
            sum(
                calls * facts.speed.of(sizes[place][candidate])
                for (place, candidate), calls in counts[key].calls.items()
            ),
            JOB_SECONDS,
            tuple(
                other
                for other, nodes in keys.items()
                if facts.scene.lattice and len(nodes) == len(own) - 1 and nodes < own
            ),
            facts.group_limit,
            GROUP_BYTES,
        )
        for key, own in keys.items()
    ]
    jobs.append(
        PlannedJob("archive", 0.0, ARCHIVE_SECONDS, tuple(keys), facts.archive_limit, ARCHIVE_BYTES)
    )
    gain = facts.speed.gain
    return schedule(
        jobs,
        parallelism=facts.parallelism,
        budget=facts.memory_budget,
        calls_in_flight=facts.calls_in_flight,
        exponent=UNKNOWN_EXPONENT if gain is None else exponent_of(gain),
    )


def _most(facts: RunFacts, searches: Sequence[Searched]) -> list[int]:
    """Each node's calls at most; none for a node that asks no model."""
    found = at_most_by_node(
        facts.scene.flows,
        facts.scene.counts_by_node,
        searches,
        validation=facts.scene.validation_size,
        held_out=facts.scene.held_out_size,
    )
    return [n if node.asks else 0 for n, node in zip(found, facts.prompts, strict=True)]


def _calls(facts: RunFacts, count: GroupCount) -> float:
    return sum(n for (place, _), n in count.calls.items() if facts.prompts[place].asks)


def _late(facts: RunFacts, planned: Schedule, key: str) -> float:
    """The share of a group's time that lies behind the run's deadline."""
    if facts.deadline is None or facts.speed.seconds is None:
        return 0.0
    start, end = planned.times.get(key, (0.0, 0.0))
    left = facts.deadline - facts.prepare.seconds
    return min(1.0, max(0.0, (end - max(start, left)) / (end - start))) if end > left else 0.0


def _group(
    facts: RunFacts,
    one: Searched,
    counts: Mapping[str, GroupCount],
    free: Mapping[str, GroupCount],
    planned: Schedule,
    *,
    sizes: Sequence[Sequence[CallSize]],
) -> GroupEstimate:
    key = one.group.key
    count, late = counts[key], _late(facts, planned, key)
    most = sum(_most(facts, [one]))
    if facts.limits.calls is not None:
        most = min(most, facts.limits.calls)
    calls = _calls(facts, count) * (1.0 - late)
    likely = min(most, round(calls))
    start, end = planned.times.get(key, (0.0, 0.0))
    return GroupEstimate(
        model_calls=CountRange(likely=likely, at_most=most),
        logical_calls=round(count.logical),
        trials=count.trials,
        tokens=round(_tokens(facts, count, sizes).tokens * (1.0 - late)),
        seconds=None if facts.speed.seconds is None else round(end - start, 1),
        reason=TIME_STOPS if late else count.reason,
        cut_calls=max(0, round(_calls(facts, free[key])) - likely),
    )


def _tokens(facts: RunFacts, count: GroupCount, sizes: Sequence[Sequence[CallSize]]) -> CallSize:
    asked = {k: n for k, n in count.calls.items() if facts.prompts[k[0]].asks}
    return CallSize(
        sum(n * sizes[place][candidate].input for (place, candidate), n in asked.items()),
        sum(n * sizes[place][candidate].output for (place, candidate), n in asked.items()),
    )


def _run(
    facts: RunFacts,
    counts: Mapping[str, GroupCount],
    groups: Mapping[str, GroupEstimate],
    planned: Schedule,
    sizes: Sequence[Sequence[CallSize]],
) -> RunEstimate:
    prepare, scene = facts.prepare, facts.scene
    most = _most(facts, scene.searches)
    at_most = sum(most) + prepare.calls.at_most
    if facts.limits.calls is not None:
        at_most = min(at_most, facts.limits.calls)
    likely = min(at_most, prepare.calls.likely + sum(g.model_calls.likely for g in groups.values()))
    kept = {key: 1.0 - _late(facts, planned, key) for key in groups}
    tokens = {key: _tokens(facts, count, sizes) for key, count in counts.items()}
    sent = sum(tokens[key].input * kept[key] for key in groups)
    received = sum(tokens[key].output * kept[key] for key in groups)
    longest = longest_sizes(facts.prompts, facts.models, facts.speed)
    calls = sum(g.model_calls.likely for g in groups.values())
    seconds = None
    if facts.speed.seconds is not None:
        seconds = prepare.seconds + planned.seconds
        if facts.deadline is not None:
            seconds = min(seconds, facts.deadline + ARCHIVE_SECONDS)
    total = sent + received + prepare.input + prepare.output
    return RunEstimate(
        model_calls=CountRange(likely=likely, at_most=at_most),
        logical_calls=sum(g.logical_calls for g in groups.values()),
        tokens=CountRange(
            likely=round(total),
            at_most=round(
                max(
                    total,
                    prepare.most_tokens
                    + sum(n * one.tokens for n, one in zip(most, longest, strict=True)),
                )
            ),
        ),
        input_tokens=round(sent + prepare.input),
        output_tokens=round(received + prepare.output),
        embedding_requests=prepare.embeddings
        + (sum(one.embeddings for one in counts.values()) if facts.embeds else 0),
        cost=_cost(facts, counts, kept, sizes),
        seconds=None if seconds is None else round(seconds, 1),
        groups=dict(groups),
        peak_memory=max(prepare.use, planned.use),
        cut_calls=sum(g.cut_calls for g in groups.values()),
        basis=EstimateBasis(
            split=facts.split,
            candidates=scene.counts_by_node,
            prepare_calls=prepare.calls,
            agreement={
                flow.name: round(chance, 4)
                for flow, chance in zip(scene.flows, scene.agreement, strict=True)
            },
            input_tokens_per_call=round(sent / calls, 1) if calls else 0.0,
            output_tokens_per_call=round(received / calls, 1) if calls else 0.0,
            characters_per_token=round(facts.speed.characters_per_token, 3),
            seconds_per_call=facts.speed.seconds,
            parallel_gain=facts.speed.gain,
            parallelism=facts.parallelism,
            parallel_calls=facts.calls_in_flight,
            notes=list(facts.notes),
        ),
    )


def _cost(
    facts: RunFacts,
    counts: Mapping[str, GroupCount],
    kept: Mapping[str, float],
    sizes: Sequence[Sequence[CallSize]],
) -> float | None:
    if not any(model.price for model in facts.models) and not facts.prepare.cost:
        return None
    groups = sum(
        n * sizes[place][candidate].cost * kept[key]
        for key, count in counts.items()
        for (place, candidate), n in count.calls.items()
        if facts.prompts[place].asks
    )
    return round(groups + facts.prepare.cost, 6)
