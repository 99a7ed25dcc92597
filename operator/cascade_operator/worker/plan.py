"""What a session's run would take, from its traces alone: ``cascade plan``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Final

from cascade_operator.agents.cascade import Cascade
from cascade_operator.api.endpoint import EMBEDDED_CHAT
from cascade_operator.api.estimate import CountRange
from cascade_operator.api.models_spec import ModelSpec, StructuredOutput
from cascade_operator.api.records import SplitCounts
from cascade_operator.api.run import RunConfig
from cascade_operator.api.session import TrainingSessionSpec
from cascade_operator.traces.layout import Layout
from cascade_operator.traces.record import Split, TraceRecord, TraceSet
from cascade_operator.traces.split import split_records
from cascade_operator.training.calls.call_cache import SingleFlightCache
from cascade_operator.training.calls.factory import CallServices, lm_for_nodes
from cascade_operator.training.demonstrations import labelled, size_of
from cascade_operator.training.estimate.ask import CALLS, CALLS_IN_TURN, ask_speed
from cascade_operator.training.estimate.compose import JOB_SECONDS, Estimated, PrepareCost
from cascade_operator.training.estimate.prompts import NodePrompts, prompts_of
from cascade_operator.training.estimate.proposing import (
    PROPOSED,
    PrepareCalls,
    expected_pool,
    prepare_calls,
    proposal_characters,
)
from cascade_operator.training.estimate.purse import CallSize
from cascade_operator.training.estimate.schedule import exponent_of
from cascade_operator.training.estimate.speed import (
    UNKNOWN_EXPONENT,
    Speed,
    call_sizes,
    longest_sizes,
    price_of,
)
from cascade_operator.worker.estimate import MOST_SAMPLE, Known, estimate, unasked_cascade
from cascade_operator.worker.memory_need import prepare_need
from cascade_operator.worker.prepare import proposal_settings
from cascade_operator.worker.trace_source import load_traces

PROBE_TOKENS: Final = 60
TEXTS_PER_REQUEST: Final = 64
MOST_TEXTS: Final = 20_000
"""Texts that are compared; of more records, each text is taken to be another."""


@dataclass(frozen=True, slots=True)
class PlanPlaces:
    """Where a session's traces lie on this machine.

    Attributes:
        config: The run it would be.
        traces: Folder of the traces' volume.
        traces_file: The trace file, where the session names one outright.
        scratch: Folder for temporary files.
    """

    config: RunConfig
    traces: Path
    traces_file: Path | None
    scratch: Path


@dataclass(frozen=True, slots=True)
class Described:
    """A run as its traces describe it, before any server is asked.

    Attributes:
        config: The run it would be.
        traces: What the trace file holds.
        records: Its records by split.
        prompts: Lengths of its prompts and answers, by node.
        known: What the estimate is made from.
        calls: What prepare would call.
        asked_node: The first node that asks a model; None where none does.
    """

    config: RunConfig
    traces: TraceSet
    records: Mapping[Split, Sequence[TraceRecord]]
    prompts: tuple[NodePrompts, ...]
    known: Known
    calls: PrepareCalls
    asked_node: str | None


def describe(places: PlanPlaces) -> Described:
    """Reads the traces and renders prompts; makes no call.

    Raises:
        DataError: The traces are unusable.
        SpecError: The session names no source that can be used here, or a module that is missing.
    """
    spec = places.config.spec
    traces = load_traces(places)
    records = _by_split(spec, traces)
    cascade = unasked_cascade(spec)
    settings = proposal_settings(spec.cascade.nodes, spec.optimizer, spec.budget.max_model_calls)
    pool = expected_pool(
        spec.cascade,
        {name: cascade.base_candidate(name) for name in cascade.node_names},
        records[Split.TRAINING],
        settings,
    )
    prompts = prompts_of(cascade, pool, records[Split.TRAINING])
    asking = [n for n, one in zip(cascade.node_names, prompts, strict=True) if one.asks]
    calls = prepare_calls(spec, settings, training=len(records[Split.TRAINING]), asking=len(asking))
    known = Known(
        places.config,
        cascade,
        pool,
        split_counts(records),
        records[Split.TRAINING][:MOST_SAMPLE],
        records[Split.VALIDATION],
        records[Split.HELD_OUT],
    )
    return Described(
        places.config, traces, records, prompts, known, calls, asking[0] if asking else None
    )


def calls_to_ask(described: Described) -> int:
    """Returns how many calls ``ask_server`` makes, at most."""
    if described.asked_node is None:
        return 0
    probe = 2 * (_model(described).structured_output is StructuredOutput.AUTO)
    return probe + len(_asked(described))


def ask_server(described: Described, environ: Mapping[str, str]) -> tuple[Speed, int]:
    """Asks the first node's server its own prompts; answers are kept nowhere.

    Args:
        described: The run.
        environ: Where embedded servers and API keys are.

    Returns:
        What it showed, and the calls it took.

    Raises:
        ServiceUnavailable: The server does not answer.
        SpecError: It does not know the model, or refuses the request.
    """
    node, spec = described.asked_node, described.config.spec
    if node is None:
        return Speed(seconds=0.0, gain=2.0), 0
    model = _model(described)
    # Two calls at once are timed, whatever the session keeps in flight.
    asked = model.model_copy(update={"max_parallel_calls": max(2, model.max_parallel_calls)})
    only = spec.cascade.model_copy(
        update={
            "tiers": [
                tier.model_copy(
                    update={
                        "nodes": [
                            n.model_copy(update={"model": asked})
                            for n in tier.nodes
                            if n.name == node
                        ]
                    }
                )
                for tier in spec.cascade.tiers
                if any(n.name == node for n in tier.nodes)
            ]
        }
    )
    services = _services(environ)
    cascade = Cascade(only, lm_for_nodes(spec.models, services))
    speed = ask_speed(cascade, services.meter, node, _asked(described))
    if model.endpoint == EMBEDDED_CHAT:
        speed = replace(speed, gain=1.0)
    return speed, services.meter.reading().model_calls


def plan(described: Described, speed: Speed, notes: Sequence[str] = ()) -> Estimated:
    """Estimates the described run. Pure but for the time it takes."""
    known = replace(
        described.known,
        speed=speed,
        prepare=_prepare_cost(described, speed),
        notes=tuple(notes),
    )
    return estimate(known, described.prompts)


def embedding_requests(described: Described) -> int:
    """Requests that embed the traces, each distinct text once."""
    layout = Layout(tuple(node.name for node in described.config.spec.cascade.nodes))
    records = described.traces.records
    texts = layout.columns * len(records)
    if texts <= MOST_TEXTS:
        texts = len({text for record in records for text in layout.texts(record)})
    return math.ceil(texts / TEXTS_PER_REQUEST)


def _prepare_cost(described: Described, speed: Speed) -> PrepareCost:
    spec, calls = described.config.spec, described.calls
    models = [node.model or spec.models.task for node in spec.cascade.nodes]
    prompt = spec.models.prompt or spec.models.task
    base = [row[0] for row in call_sizes(described.prompts, models, speed) if row]
    longest = [
        s
        for s, p in zip(
            longest_sizes(described.prompts, models, speed), described.prompts, strict=True
        )
        if p.asks
    ]
    proposal = _proposal_size(described, speed, prompt)
    probe = CallSize(PROBE_TOKENS, 10.0, price_of(spec.models.task))
    parts = [
        *((calls.records, one) for one in base),
        (calls.proposals, proposal),
        (calls.probes, probe),
    ]
    exponent = UNKNOWN_EXPONENT if speed.gain is None else exponent_of(speed.gain)
    in_flight = spec.models.task.max_parallel_calls**exponent
    work = sum(calls.records * speed.of(one) for one in base) / in_flight
    work += calls.proposals * speed.of(proposal) + calls.probes * speed.of(probe)
    return PrepareCost(
        CountRange(likely=calls.likely, at_most=calls.at_most),
        input=sum(n * one.input for n, one in parts),
        output=sum(n * one.output for n, one in parts),
        most_tokens=sum(calls.records * one.tokens for one in longest)
        + calls.proposals_at_most * proposal.tokens
        + 2 * calls.probes * probe.tokens,
        cost=sum(n * one.cost for n, one in parts),
        seconds=JOB_SECONDS + work,
        embeddings=embedding_requests(described),
        use=prepare_need(spec, len(described.traces.records)).likely,
    )


def _proposal_size(described: Described, speed: Speed, model: ModelSpec) -> CallSize:
    nodes = described.config.spec.cascade.nodes
    lengths = []
    for node in nodes:
        steps = labelled(node, described.records[Split.TRAINING][:20])
        mean = fmean([size_of(step) for step in steps]) if steps else 0.0
        declared = described.known.cascade.base_candidate(node.name)
        lengths.append(proposal_characters(declared, mean))
    return CallSize(
        fmean(lengths) / speed.characters_per_token,
        min(float(model.max_tokens), PROPOSED / speed.characters_per_token),
        price_of(model),
    )


def _by_split(spec: TrainingSessionSpec, traces: TraceSet) -> dict[Split, list[TraceRecord]]:
    chosen = split_records(
        traces.records,
        validation_fraction=spec.traces.validation_fraction,
        held_out_fraction=spec.traces.held_out_fraction,
        salt=str(spec.optimizer.seed),
    )
    return {
        split: [record for record in traces.records if chosen[record.record_id] is split]
        for split in Split
    }


def split_counts(records: Mapping[Split, Sequence[TraceRecord]]) -> SplitCounts:
    """Returns how many records each split has."""
    return SplitCounts(
        training=len(records[Split.TRAINING]),
        validation=len(records[Split.VALIDATION]),
        held_out=len(records[Split.HELD_OUT]),
    )


def _services(environ: Mapping[str, str]) -> CallServices:
    return CallServices(namespace="plan", cache=SingleFlightCache(None), environ=environ)


def _model(described: Described) -> ModelSpec:
    spec = described.config.spec
    node = next(n for n in spec.cascade.nodes if n.name == described.asked_node)
    return node.model or spec.models.task


def _asked(described: Described) -> list[TraceRecord]:
    """Records to ask about: those that train first, so that no answer is spent on the others."""
    node = described.asked_node or ""
    records = [*described.records[Split.TRAINING], *described.records[Split.VALIDATION]]
    most = CALLS_IN_TURN if _model(described).endpoint == EMBEDDED_CHAT else CALLS
    return [record for record in records if record.inputs.get(node)][:most]
