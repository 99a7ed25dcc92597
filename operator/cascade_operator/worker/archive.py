"""The archive Job (50-59, 63, 86): what a run has found goes to the archives' volume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cascade_operator.agents.cascade import Cascade
from cascade_operator.agents.dspy_settings import configure_dspy
from cascade_operator.api.canonical import canonical_json, ordered_json
from cascade_operator.api.groups import NodeGroup
from cascade_operator.api.published import MAX_PUBLISHED_BYTES, program_digest
from cascade_operator.api.records import ArchiveResult, GroupResult
from cascade_operator.api.status import (
    ArchiveStatus,
    AttributionStatus,
    BestStatus,
    ProgramStatus,
)
from cascade_operator.archive.catalog import SessionFolder, excess_files, list_runs, remove_files
from cascade_operator.archive.model import (
    GroupArchive,
    RunArchive,
    SplitRow,
    TrialRow,
)
from cascade_operator.archive.writer import ArchiveFile, write_archives
from cascade_operator.monitoring.stage_log import log_stage, run_stage
from cascade_operator.traces.record import Split
from cascade_operator.traces.store import TraceStore
from cascade_operator.training.calls.call_cache import SingleFlightCache
from cascade_operator.training.calls.factory import CallServices, make_lm
from cascade_operator.training.history import History
from cascade_operator.training.outcome import GroupOutcome
from cascade_operator.training.pool import CandidatePool
from cascade_operator.training.posterior import Posterior
from cascade_operator.training.results import Results, attribution_of, best_of, result_document
from cascade_operator.training.space import ProgramSpace
from cascade_operator.training.state import SearchState
from cascade_operator.training.trial import Trial
from cascade_operator.worker.context import JobContext
from cascade_operator.worker.final_report import slim, write_final_report
from cascade_operator.worker.leftovers import check_outcome
from cascade_operator.worker.run_data import RunData
from cascade_operator.worker.stored_matrices import StoredMatrices


def run_archive(context: JobContext, *, final: bool, groups: Sequence[str]) -> ArchiveResult:
    """Writes one archive a group size, from what the groups left in Redis.

    Args:
        context: The Job's context.
        final: Whether every group is over: the run's keys are removed afterwards.
        groups: Keys of the groups that succeeded.

    Raises:
        RunDataGone: What the groups left is no longer in Redis.
        ArchiveWriteError: The volume refuses.
    """
    data = RunData(context.redis, context.keys)
    written = data.archived() if final else None
    if written is not None and all((context.archives / a.path).is_file() for a in written.archives):
        # The last attempt was cut short as it removed keys: some of what it archived is gone.
        return _cleaned_up(data, written)
    publisher = context.publisher("archive")
    with context.memory, publisher:
        publisher.update(stage=50, note="final" if final else "progressive", publish=True)
        with run_stage(50, final=final, groups=len(groups)):
            pool = data.pool_of([node.name for node in context.config.spec.cascade.nodes])
            results = _results(context, data, groups, pool)
            publisher.publish_timeline()
            data.collect_timeline()
            run = _collect(context, data, results, pool, progressive=not final)
            context.check()
            files = write_archives(run, context.archives, context.config.spec.archive.compression)
            run = slim(run)
        if final:
            write_final_report(context, run, files)
        _retain(context)
    best = best_of(results)
    result = ArchiveResult(
        final=final,
        archives=[_status(file) for file in files],
        groups=sorted(results),
        best=best,
        program=_kept_program(data, run, best) if final else None,
        attribution=_attribution(context, results) if final else [],
        figures=[figures for _, figures in results.values()],
        peak_memory=context.memory.peak,
    )
    if not final:
        return result
    data.put_archived(result)
    return _cleaned_up(data, result)


def _cleaned_up(data: RunData, result: ArchiveResult) -> ArchiveResult:
    with run_stage(86):
        log_stage(86, f"{data.clean_up()} keys removed from Redis")
    return result


def _results(
    context: JobContext, data: RunData, groups: Sequence[str], pool: CandidatePool
) -> dict[str, tuple[GroupOutcome, GroupResult]]:
    found = {}
    validation = len(TraceStore(context.redis, context.keys).record_ids(Split.VALIDATION))
    for key in groups:
        group = context.config.group(key)
        finished = data.outcome(key)
        if finished is None:
            # An attempt that ended between its result and its message leaves no hole here.
            log_stage(50, f"group {key} left no result in Redis; it is archived as unfinished")
            continue
        with data.unfit_result(key):
            check_outcome(finished[0], group, pool, validation)
        found[key] = finished
    return found


def _collect(
    context: JobContext,
    data: RunData,
    results: Results,
    pool: CandidatePool,
    *,
    progressive: bool,
) -> RunArchive:
    config = context.config
    store = TraceStore(context.redis, context.keys)
    cascade = unasked_cascade(context)
    sizes = (len(store.record_ids(Split.VALIDATION)), len(store.record_ids(Split.HELD_OUT)))
    groups = {}
    for group in config.node_groups():
        found = _group(group, data, results, pool=pool, cascade=cascade, sizes=sizes)
        if found is not None:
            groups[group.key] = found
    return RunArchive(
        config_json=config.to_json().encode(),
        session_id=config.session_id,
        namespace=config.namespace,
        session=config.name,
        progressive=progressive,
        split=tuple(
            SplitRow(r.record_id, r.content_hash, r.split.value) for r in store.iter_records()
        ),
        candidates_json=pool.to_bytes(),
        groups=groups,
        io_matrices=StoredMatrices(store),
        reducer_npz=data.reducer(),
        recipe=store.manifest().recipe,
        documents=data.documents(),
    )


def _group(
    group: NodeGroup,
    data: RunData,
    results: Results,
    *,
    pool: CandidatePool,
    cascade: Cascade,
    sizes: tuple[int, int],
) -> GroupArchive | None:
    """A finished group whole, a running one as far as its checkpoint goes, others not at all.

    ``sizes`` are the numbers of validation and held-out records.
    """
    checkpoint = data.checkpoints(group.key).load()
    finished = results.get(group.key)
    if finished is None and checkpoint is None:
        return None
    if finished is not None:
        outcome, figures = finished
        return GroupArchive(
            key=group.key,
            nodes=group.nodes,
            checkpoint_json=canonical_json(checkpoint or {}).encode(),
            posterior=outcome.posterior.parameters(),
            trials=_trials(group, outcome.trials),
            program_json=program_json(cascade, pool, outcome.choice),
            result=result_document(outcome, figures),
        )
    try:
        state = SearchState.from_json(checkpoint or {})
        state.check(ProgramSpace.of(group.nodes, pool.counts), *sizes)
    except ValueError as error:
        log_stage(50, f"the checkpoint of group {group.key} is not archived: {error}")
        return None
    start = data.start(group.key, validation=sizes[0])
    history = History(start.prior or Posterior.uniform(sizes[0]))
    for trial in state.trials:
        history.add(trial)
    return GroupArchive(
        key=group.key,
        nodes=group.nodes,
        checkpoint_json=canonical_json(checkpoint).encode(),
        posterior=history.posterior.parameters(),
        trials=_trials(group, state.trials),
    )


def _trials(group: NodeGroup, trials: Sequence[Trial]) -> tuple[TrialRow, ...]:
    return tuple(
        TrialRow(
            number=trial.number,
            choice=dict(zip(group.nodes, trial.program, strict=True)),
            score=trial.score,
            kind="whole" if trial.whole else "minibatch",
            examples=len(trial.scores),
            parse_failures=trial.parse_failures,
            origin=trial.origin.value,
        )
        for trial in trials
    )


def unasked_cascade(context: JobContext) -> Cascade:
    """Returns the cascade with models that are never called: only its programs are needed."""
    configure_dspy()
    config = context.config
    services = CallServices(namespace=config.namespace, cache=SingleFlightCache(None))
    task = config.spec.models.task
    return Cascade(
        config.spec.cascade,
        lambda node: make_lm(
            # Building a model resolves its endpoint; none is called here.
            (node.model or task).model_copy(update={"endpoint": "http://127.0.0.1:9"}),
            services,
            structured=False,
        ),
    )


def program_json(cascade: Cascade, pool: CandidatePool, choice: Mapping[str, int]) -> bytes:
    """Returns a program's state as JSON, ready for ``dspy.Module.load``."""
    return ordered_json(cascade.program(pool.programs(choice)).dump_state()).encode()


def _kept_program(data: RunData, run: RunArchive, best: BestStatus | None) -> ProgramStatus | None:
    """Leaves the best program where the operator finds it to publish; one too large it only tells.

    It is kept whether the session publishes or not: that may be asked of a run that is over.
    """
    program = None if best is None else run.groups[best.group].program_json
    if best is None or program is None:
        return None
    if len(program) <= MAX_PUBLISHED_BYTES:
        data.put_program(program)
    return ProgramStatus(group=best.group, sha256=program_digest(program), bytes=len(program))


def _attribution(context: JobContext, results: Results) -> list[AttributionStatus]:
    spec = context.config.spec
    nodes = [node.name for node in spec.cascade.nodes]
    with run_stage(63, groups=len(results)):
        return attribution_of(nodes, results, seed=spec.optimizer.seed)


def _retain(context: JobContext) -> None:
    config = context.config
    runs = list_runs(context.archives, SessionFolder(config.namespace, config.name))
    # The archive a session names to start from is not for its own runs to remove.
    kept = frozenset({config.session_id, config.spec.warm_start.archive})
    excess = excess_files(runs, config.spec.archive.retain, protect=kept)
    for problem in remove_files(excess):
        log_stage(50, f"an old archive could not be removed: {problem}")


def _status(file: ArchiveFile) -> ArchiveStatus:
    return ArchiveStatus(
        group_size=file.group_size, path=str(file.path), sha256=file.sha256, bytes=file.bytes
    )
