"""Stage 65: what a run will take, from its configuration, its candidates and its records."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final, Protocol

from cascade_operator.agents.cascade import Cascade
from cascade_operator.api.endpoint import EMBEDDED_CHAT
from cascade_operator.api.groups import NodeGroup
from cascade_operator.api.models_spec import StructuredOutput
from cascade_operator.api.quantity import parse_duration, parse_quantity
from cascade_operator.api.records import SplitCounts
from cascade_operator.api.run import RunConfig
from cascade_operator.api.search_spec import Metric, Scope
from cascade_operator.api.session import TrainingSessionSpec
from cascade_operator.training.calls.call_cache import SingleFlightCache
from cascade_operator.training.calls.factory import CallServices, lm_for_nodes
from cascade_operator.training.estimate.answers import agreements
from cascade_operator.training.estimate.bound import Searched
from cascade_operator.training.estimate.compose import (
    Estimated,
    PrepareCost,
    RunFacts,
    estimate_run,
)
from cascade_operator.training.estimate.flow import given_ids, node_flows
from cascade_operator.training.estimate.prompts import NodePrompts, RecordedRun, prompts_of
from cascade_operator.training.estimate.simulation import MOST_RECORDS, Scene
from cascade_operator.training.estimate.speed import Speed
from cascade_operator.training.pool import CandidatePool
from cascade_operator.training.runs import RecordedInputs
from cascade_operator.training.space import ProgramSpace
from cascade_operator.worker.calls import limits
from cascade_operator.worker.search_settings import search_settings

MOST_SAMPLE: Final = 200
"""Training records that say how long prompts and answers are."""
_NOBODY: Final = {"CASCADE_EMBEDDED_CHAT_URL": "http://127.0.0.1:9"}
"""An address for models that are described and never asked."""


class EstimateRecord(RecordedInputs, RecordedRun, Protocol):
    """What an estimate reads of a record; trace records and the store's records have it."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a run before its groups search.

    Attributes:
        config: The run.
        cascade: Its cascade, bound to models; no model is asked.
        pool: Its candidates, or such as they may be.
        split: Records by split.
        sample: Some training records.
        validation: The validation records; the first ones are enough.
        held_out: Likewise the held-out records.
        prepare: What prepare takes.
        speed: What servers showed.
        starts: Group key -> the choice that a warm start gives it.
        finished: Keys of groups that will not be searched again.
        notes: What the estimate assumes, for a reader.
    """

    config: RunConfig
    cascade: Cascade
    pool: CandidatePool
    split: SplitCounts
    sample: Sequence[EstimateRecord]
    validation: Iterable[EstimateRecord]
    held_out: Iterable[EstimateRecord]
    prepare: PrepareCost = PrepareCost()  # noqa: RUF009 (frozen)
    speed: Speed = Speed()  # noqa: RUF009 (frozen)
    starts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    finished: Collection[str] = ()
    notes: tuple[str, ...] = ()


def estimate(known: Known, prompts: tuple[NodePrompts, ...] | None = None) -> Estimated:
    """Estimates a run; about a second at most.

    Args:
        known: The run.
        prompts: Lengths of its prompts, where they were rendered before.

    Raises:
        CascadeError: A node's own module cannot be built.
    """
    spec = known.config.spec
    if prompts is None:
        prompts = prompts_of(known.cascade, known.pool, known.sample)
    models = [node.model or spec.models.task for node in spec.cascade.nodes]
    embedded = all(model.endpoint == EMBEDDED_CHAT for model in models)
    speed = known.speed
    if speed.gain is None and embedded:
        speed = replace(speed, gain=1.0)  # it computes one request at a time
    memory = spec.memory
    return estimate_run(
        RunFacts(
            scene=_scene(known),
            prompts=prompts,
            models=tuple(models),
            split=known.split,
            prepare=known.prepare,
            speed=speed,
            limits=limits(spec.budget),
            deadline=parse_duration(spec.budget.max_duration),
            parallelism=spec.parallelism,
            calls_in_flight=spec.models.task.max_parallel_calls,
            group_limit=parse_quantity(spec.resources.group.limits.memory),
            archive_limit=parse_quantity(spec.resources.archive.limits.memory),
            memory_budget=parse_quantity(memory.budget) if memory.budget else None,
            embeds=spec.objective.metric is Metric.COSINE,
            notes=known.notes,
        )
    )


def _scene(known: Known) -> Scene:
    config, spec = known.config, known.config.spec
    flows = node_flows(spec.cascade)
    sample = [record.outputs for record in known.sample]
    chances = agreements(spec.cascade, sample)
    return Scene(
        flows=flows,
        counts=tuple(known.pool.counts[flow.name] for flow in flows),
        searches=tuple(
            _searched(known, group)
            for group in config.node_groups()
            if group.key not in known.finished
        ),
        validation=given_ids(spec.cascade, flows, islice(known.validation, MOST_RECORDS)),
        held_out=given_ids(spec.cascade, flows, islice(known.held_out, MOST_RECORDS)),
        agreement=tuple(chances[flow.name] for flow in flows),
        validation_size=known.split.validation,
        held_out_size=known.split.held_out,
        seed=spec.optimizer.seed,
        lattice=spec.optimizer.lattice,
    )


def _searched(known: Known, group: NodeGroup) -> Searched:
    config, counts = known.config, known.pool.counts
    nodes = [node.name for node in config.spec.cascade.nodes]
    alone = config.spec.objective.scope is Scope.GROUP
    start = known.starts.get(group.key)
    return Searched(
        group,
        search_settings(
            config,
            group,
            counts,
            validation=known.split.validation,
            held_out=known.split.held_out,
        ),
        nodes.index(group.nodes[-1]) if alone else len(nodes) - 1,
        None if start is None else ProgramSpace.of(group.nodes, counts).program(start),
    )


def unasked_cascade(spec: TrainingSessionSpec) -> Cascade:
    """Returns the cascade on models that are described only: for rendering prompts.

    A server whose support of schemas was not asked for is taken to have it.
    """
    models = [spec.models.task, *(node.model for node in spec.cascade.nodes)]
    structured = {
        model: model.structured_output is not StructuredOutput.NONE
        for model in models
        if model is not None
    }
    services = CallServices(namespace="estimate", cache=SingleFlightCache(None), environ=_NOBODY)
    return Cascade(spec.cascade, lm_for_nodes(spec.models, services, structured=structured))
