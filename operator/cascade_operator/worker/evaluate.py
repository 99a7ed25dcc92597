"""Scores any program on any traces, after training: ``cascade evaluate``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cascade_operator.agents.candidate import Candidate
from cascade_operator.agents.cascade import Cascade
from cascade_operator.agents.program import attribute_names
from cascade_operator.agents.signatures import REASONING, NodeSignature
from cascade_operator.api.calls import CallFigures
from cascade_operator.api.errors import DataError
from cascade_operator.api.session import TrainingSessionSpec
from cascade_operator.traces.reader import read_traces
from cascade_operator.traces.record import Split, TraceRecord
from cascade_operator.traces.split import split_records
from cascade_operator.training.batch import BoundedBatch
from cascade_operator.training.calls.call_cache import SingleFlightCache
from cascade_operator.training.calls.factory import CallServices, lm_for_nodes
from cascade_operator.training.evaluate import score_runs
from cascade_operator.training.metric import make_metric
from cascade_operator.training.runs import BatchedCascade
from cascade_operator.worker.calls import embedder_of
from cascade_operator.worker.estimate import unasked_cascade
from cascade_operator.worker.trace_source import node_fields

MAX_PROGRAM_BYTES: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """A program's scores.

    Attributes:
        score: Their mean, 0 to 1.
        scores: By record.
        parse_failures: Records whose answer could not be read; they scored 0.
        calls: What it cost.
    """

    score: float
    scores: Mapping[str, float]
    parse_failures: int
    calls: CallFigures


def evaluate_program(
    program: Path,
    traces: Path,
    spec: TrainingSessionSpec,
    *,
    split: str = "all",
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> EvaluationReport:
    """Runs a saved program on traces and scores it by the session's objective.

    DSPy must have been set up before (``agents.dspy_settings``), outside of any event loop.

    Args:
        program: JSON as `cascade archive program` prints it.
        traces: A trace file.
        spec: The resolved session: cascade, models, objective.
        split: ``all``, or the session's ``training``, ``validation`` or ``heldOut`` records.
        on_progress: Called with records done and their number.

    Raises:
        DataError: The program or the traces are unusable.
        ServiceUnavailable: A model server fails.
    """
    services = CallServices(
        namespace="evaluate", cache=SingleFlightCache(None), seed=spec.optimizer.seed
    )
    # The files first: what is wrong with them is said before a server is asked.
    candidates = read_program(program, unasked_cascade(spec))
    records = _records(traces, spec, split)
    cascade = Cascade(spec.cascade, lm_for_nodes(spec.models, services))
    metric = make_metric(
        spec.objective.metric.value,
        embed=embedder_of(spec.models.embedding).embed,
        function=spec.objective.function or None,
    )
    runner = BatchedCascade(
        spec.cascade,
        cascade,
        BoundedBatch(spec.models.task.max_parallel_calls, lambda: None),
        on_spared=services.meter.remembered,
    )
    scores: dict[str, float] = {}
    failures = 0
    step = max(1, spec.models.task.max_parallel_calls * 4)
    for begin in range(0, len(records), step):
        batch = records[begin : begin + step]
        found = score_runs(metric, batch, runner.run(batch, candidates))
        scores |= dict(zip((r.record_id for r in batch), found.scores, strict=True))
        failures += found.parse_failures
        on_progress(len(scores), len(records))
    return EvaluationReport(
        sum(scores.values()) / len(scores), scores, failures, services.meter.figures()
    )


def read_program(path: Path, cascade: Cascade) -> dict[str, Candidate]:
    """Reads a program's state, as hostile: JSON only, and only texts and demonstrations of it.

    Raises:
        DataError: It is missing, too large, or not a program of this cascade.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_PROGRAM_BYTES + 1)
        state = json.loads(data) if len(data) <= MAX_PROGRAM_BYTES else None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is no program: {error}", mend=_MEND) from error
    if not isinstance(state, dict):
        raise DataError(f"{path} is no program", mend=_MEND)
    found = {}
    for node, key in _main_predictors(cascade).items():
        fields = cascade.runtime(node).fields
        found[node] = (
            cascade.base_candidate(node)
            if key is None
            else _candidate(path, node, state, key, fields)
        )
    return found


_MEND: Final = "write one with `cascade archive program FILE`, from a session of the same cascade"


def _main_predictors(cascade: Cascade) -> dict[str, str | None]:
    """Node -> where its program stands in a state; None for a node that is plain code."""
    predictors = cascade.program({}).named_predictors()
    found: dict[str, str | None] = {}
    for node, attribute in attribute_names(cascade.node_names).items():
        outputs = set(cascade.runtime(node).fields.outputs.values())
        found[node] = next(
            (
                name
                for name, predictor in predictors
                if (name == attribute or name.startswith(f"{attribute}."))
                and outputs <= set(predictor.signature.output_fields)
            ),
            None,
        )
    return found


def _candidate(
    path: Path, node: str, state: Mapping[str, Any], key: str, fields: NodeSignature
) -> Candidate:
    if key not in state:
        raise DataError(f"{path} has no program for the node {node}", mend=_MEND)
    inputs = fields.inputs
    # A chain-of-thought node's examples reason before they answer.
    outputs = {REASONING: REASONING} | dict(fields.outputs)
    try:
        return Candidate.from_json(
            {
                "instructions": state[key]["signature"]["instructions"],
                "demonstrations": [
                    {
                        "recordId": None,
                        "inputs": {name: demo[at] for name, at in inputs.items() if at in demo},
                        "outputs": {name: demo[at] for name, at in outputs.items() if at in demo},
                    }
                    for demo in state[key].get("demos", [])
                ],
                "source": "archived",
            }
        )
    except (KeyError, TypeError, AttributeError, DataError) as error:
        raise DataError(
            f"{path}: the program of node {node} is broken: {error}", mend=_MEND
        ) from error


def _records(traces: Path, spec: TrainingSessionSpec, split: str) -> list[TraceRecord]:
    found = read_traces(
        traces,
        nodes=node_fields(spec.cascade),
        max_records=spec.traces.max_records,
        max_invalid_percent=spec.traces.max_invalid_percent,
    )
    records = list(found.records)
    if split == "all":
        return records
    chosen = split_records(
        records,
        validation_fraction=spec.traces.validation_fraction,
        held_out_fraction=spec.traces.held_out_fraction,
        salt=str(spec.optimizer.seed),
    )
    return [record for record in records if chosen[record.record_id] is Split(split)]
