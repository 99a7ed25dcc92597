"""The prepare Job (10-17, 44, 83-84): from a trace file to what the groups search with."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from cascade_operator.agents.cascade import Cascade
from cascade_operator.api.cascade import NodeSpec
from cascade_operator.api.errors import RunDataGone
from cascade_operator.api.records import PrepareResult, SplitCounts
from cascade_operator.api.search_spec import OptimizerSpec
from cascade_operator.api.status import SpentStatus
from cascade_operator.archive.members import RECORDS
from cascade_operator.archive.model import RunArchive
from cascade_operator.monitoring.progress import ProgressPublisher
from cascade_operator.monitoring.stage_log import log_stage, run_stage
from cascade_operator.traces.record import Split, TraceRecord, TraceSet
from cascade_operator.traces.run_vectors import Reduction, RunVectors
from cascade_operator.traces.split import split_records
from cascade_operator.traces.store import TraceStore
from cascade_operator.training.batch import BoundedBatch
from cascade_operator.training.budget import prepare_share
from cascade_operator.training.calls.factory import make_lm
from cascade_operator.training.demonstrations import SetLimits
from cascade_operator.training.grounded import GroundedProposer
from cascade_operator.training.pool import CandidatePool
from cascade_operator.training.propose import ProposalSettings, propose_pool
from cascade_operator.training.runs import BatchedCascade
from cascade_operator.worker.calls import JobCalls, open_calls
from cascade_operator.worker.context import JobContext, eviction_note
from cascade_operator.worker.foresight import BaseRuns, put_estimate
from cascade_operator.worker.leftovers import remove_unfit
from cascade_operator.worker.records_document import records_document, records_found
from cascade_operator.worker.restore import archived_traces, own_archive, restore_run
from cascade_operator.worker.run_data import RunData
from cascade_operator.worker.trace_source import load_traces
from cascade_operator.worker.warm_start import warm_start

STEPS = 6


def run_prepare(context: JobContext, *, spent: SpentStatus | None = None) -> PrepareResult:
    """Prepares a run; what an earlier attempt finished is not done again.

    Args:
        context: The Job's context.
        spent: What the run has spent of its budget, as status knows it.

    Raises:
        CascadeError: As the packages below raise it.
    """
    began = time.monotonic()
    data = RunData(context.redis, context.keys)
    calls = open_calls(context, "prepare", spent)
    warnings = [note for note in (eviction_note(context.redis),) if note]
    for note in warnings:
        log_stage(15, note)
    publisher = context.publisher("prepare", calls=calls.kept_figures, spent=calls.spent)
    with context.memory, calls, publisher:
        publisher.update(stage=84, total=STEPS, note="reading traces", publish=True)
        traces = load_traces(context)
        traces, split, own = _records(context, traces)
        splits = _counts(split)
        found = records_found(traces, splits)
        context.check()
        _store(context, traces.records, split, calls=calls, data=data, publisher=publisher)
        # From here on the store is read; the records need not be in memory twice.
        del traces
        context.check()
        publisher.update(stage=83, done=3, note="restoring", publish=True)
        before = _digest_before(data)
        restored: tuple[str, ...] = ()
        notes: tuple[str, ...] = ()
        base_runs: BaseRuns | None = None
        if own is not None:
            restored = restore_run(context, data, own)
            pool = data.pool()
            log_stage(55, f"{len(restored)} finished groups restored from this run's archive")
        else:
            pool, notes, base_runs = _propose(context, calls, data, publisher)
        publisher.update(stage=83, done=5, note="warm start", publish=True)
        # After a restore the pool holds the archived candidates already and stays as it is, but
        # the groups still to be trained need their starts again.
        started = warm_start(context, pool, data)
        pool = started.pool or pool
        removed = _settle(context, data, pool, before=before, split=split, keep=restored)
        put_estimate(
            context,
            calls,
            data,
            pool,
            split=splits,
            base_runs=base_runs,
            finished=restored,
            seconds=time.monotonic() - began,
        )
    said = (*warnings, *removed, *started.notes, *notes)
    data.put_document(
        RECORDS,
        records_document(
            found, warm_started_from=started.source, notes=said, calls=calls.figures()
        ),
    )
    result = PrepareResult(
        records=found["records"],
        rejected=found["rejected"]["total"],
        duplicates=found["duplicates"],
        split=splits,
        candidates=pool.counts,
        warm_started_from=started.source,
        imputed=list(said[:32]),
        restored_groups=list(restored),
        peak_memory=context.memory.peak,
        calls=calls.kept_figures(),
    )
    data.put_prepared(result)
    return result


def _digest_before(data: RunData) -> str:
    """Names the candidates of an earlier attempt; empty without one, or where they are damaged."""
    try:
        return data.pool().digest
    except RunDataGone:
        return ""


def _settle(
    context: JobContext,
    data: RunData,
    pool: CandidatePool,
    *,
    before: str,
    split: Mapping[str, Split],
    keep: Sequence[str],
) -> tuple[str, ...]:
    """Writes the pool, and removes what an earlier attempt left that does not go with it."""
    data.put_pool(pool)
    removed = remove_unfit(
        data,
        context.config.node_groups(),
        pool,
        sum(one is Split.VALIDATION for one in split.values()),
        keep=keep,
        same_pool=pool.digest == before,
    )
    for note in removed:
        log_stage(83, note)
    return tuple(note[:500] for note in removed)


def _records(
    context: JobContext, traces: TraceSet
) -> tuple[TraceSet, Mapping[str, Split], RunArchive | None]:
    """The run's records, their split, and its own archive where its data was lost from Redis."""
    own = own_archive(context)
    if own is None:
        return traces, _split(context, traces), None
    archived = archived_traces(traces, own)
    if archived is None:
        log_stage(55, "this run's own archive is left out: traces it was made on are gone")
        return traces, _split(context, traces), None
    return *archived, own


def _counts(split: Mapping[str, Split]) -> SplitCounts:
    counts = {name: sum(s is name for s in split.values()) for name in Split}
    return SplitCounts(
        training=counts[Split.TRAINING],
        validation=counts[Split.VALIDATION],
        held_out=counts[Split.HELD_OUT],
    )


def _split(context: JobContext, traces: TraceSet) -> dict[str, Split]:
    spec = context.config.spec
    with run_stage(11, records=len(traces.records)):
        return split_records(
            traces.records,
            validation_fraction=spec.traces.validation_fraction,
            held_out_fraction=spec.traces.held_out_fraction,
            salt=str(spec.optimizer.seed),
        )


def _store(
    context: JobContext,
    records: Sequence[TraceRecord],
    split: Mapping[str, Split],
    *,
    calls: JobCalls,
    data: RunData,
    publisher: ProgressPublisher,
) -> None:
    spec = context.config.spec
    how = spec.models.reduction
    embedder = calls.embedder(on_volume=True)

    def block(done: int) -> None:
        context.check()
        publisher.update(stage=12, note=f"embedding {done} of {len(records)}", publish=True)

    vectors = RunVectors(
        records,
        [node.name for node in spec.cascade.nodes],
        embedder,
        Reduction(how.method.value, how.dimensions, spec.optimizer.seed, str(context.scratch)),
        on_block=block,
    )
    publisher.update(stage=12, done=1, note="embedding", publish=True)
    with run_stage(12, records=len(records), in_blocks=not vectors.whole):
        vectors.embed()
    context.check()
    publisher.update(stage=13, done=2, note="reducing", publish=True)
    with run_stage(13, method=how.method.value):
        reducer = vectors.fit()
    data.put_reducer(reducer.save_npz())
    with run_stage(15, records=len(records)):
        TraceStore(context.redis, context.keys).write_blocks(
            records,
            split,
            vectors.rows,
            embedder.recipe,
            nodes=[node.name for node in spec.cascade.nodes],
        )


def _propose(
    context: JobContext, calls: JobCalls, data: RunData, publisher: ProgressPublisher
) -> tuple[CandidatePool, tuple[str, ...], BaseRuns]:
    spec = context.config.spec
    publisher.update(stage=44, done=4, note="proposing candidates", publish=True)
    cascade: Cascade = calls.cascade()
    prompt = spec.models.prompt or spec.models.task
    proposer = GroundedProposer(
        spec.cascade, make_lm(prompt, calls.services), seed=spec.optimizer.seed
    )
    base_runs = BaseRuns(proposer, calls.services.meter)
    proposals = propose_pool(
        spec.cascade,
        {name: cascade.base_candidate(name) for name in cascade.node_names},
        TraceStore(context.redis, context.keys).records(Split.TRAINING),
        proposal_settings(spec.cascade.nodes, spec.optimizer, spec.budget.max_model_calls),
        cascade=BatchedCascade(
            spec.cascade,
            cascade,
            BoundedBatch(spec.models.task.max_parallel_calls, context.check),
            on_spared=calls.services.meter.remembered,
        ),
        metric=calls.metric(),
        proposer=base_runs,
        store=data.proposals(),
        check=context.check,
    )
    for note in proposals.notes:
        log_stage(44, note)
    return proposals.pool, proposals.notes, base_runs


def proposal_settings(
    nodes: Sequence[NodeSpec], optimizer: OptimizerSpec, max_calls: int | None
) -> ProposalSettings:
    """Returns how candidates are proposed, per-node overrides among it."""

    def chosen(node: NodeSpec, name: str) -> int:
        own = getattr(node.optimizer, name, None)
        return int(getattr(optimizer, name) if own is None else own)

    return ProposalSettings(
        candidates={node.name: chosen(node, "candidates") for node in nodes},
        seed=optimizer.seed,
        limits={
            node.name: SetLimits(
                bootstrapped=chosen(node, "max_bootstrapped_demonstrations"),
                labeled=chosen(node, "max_labeled_demonstrations"),
            )
            for node in nodes
        },
        max_calls=prepare_share(max_calls),
    )
