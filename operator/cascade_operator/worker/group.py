"""The group Job (41-49): searches the programs of one node group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cascade_operator.api.groups import NodeGroup, parse_key
from cascade_operator.api.records import GroupResult
from cascade_operator.api.status import SpentStatus
from cascade_operator.monitoring.progress import ProgressPublisher
from cascade_operator.monitoring.stage_log import log_stage
from cascade_operator.traces.record import Split
from cascade_operator.traces.store import TraceStore
from cascade_operator.training.calls.budget import BudgetExceeded
from cascade_operator.training.calls.meter import CallMeter
from cascade_operator.training.evaluate import CascadeEvaluator
from cascade_operator.training.evaluation import Evaluation, Evaluator
from cascade_operator.training.lattice import ParentResult, unions
from cascade_operator.training.outcome import GroupOutcome
from cascade_operator.training.search import GroupSearch, SearchSplit
from cascade_operator.training.space import ProgramSpace
from cascade_operator.training.stopping import RunGuard, SearchStopped
from cascade_operator.training.trial import Trial
from cascade_operator.worker.calls import JobCalls, open_calls
from cascade_operator.worker.context import JobContext
from cascade_operator.worker.run_data import RunData
from cascade_operator.worker.search_settings import search_settings


def run_group(
    context: JobContext,
    key: str,
    *,
    seconds_left: float,
    parents: Sequence[str],
    spent: SpentStatus | None = None,
) -> GroupResult:
    """Trains one group and leaves its result in Redis.

    Args:
        context: The Job's context.
        key: The group.
        seconds_left: Until the run's deadline.
        parents: Keys of the immediate subsets that succeeded.
        spent: What the run has spent of its budget, as status knows it.

    Raises:
        CascadeError: As the packages below raise it; finished trials are saved.
    """
    group = context.config.group(key)
    data = RunData(context.redis, context.keys)
    finished = data.outcome(key)
    if finished is not None:
        log_stage(41, f"group {key} had finished; its result stands")
        return finished[1]
    calls = open_calls(context, key, spent)
    publisher = context.publisher(key, calls=calls.kept_figures, spent=calls.spent)
    with context.memory, calls, publisher:
        publisher.update(stage=41, total=context.config.spec.optimizer.trials, publish=True)
        outcome = _search(
            context,
            group,
            data,
            calls,
            seconds_left=seconds_left,
            parents=parents,
            publisher=publisher,
        )
    figures = _figures(outcome, calls, context.memory.peak, parents)
    data.put_outcome(outcome, figures)
    return figures


def _search(
    context: JobContext,
    group: NodeGroup,
    data: RunData,
    calls: JobCalls,
    *,
    seconds_left: float,
    parents: Sequence[str],
    publisher: ProgressPublisher,
) -> GroupOutcome:
    spec = context.config.spec
    pool = data.pool_of([node.name for node in spec.cascade.nodes])
    store = TraceStore(context.redis, context.keys)
    records = list(store.iter_records(Split.VALIDATION, Split.HELD_OUT))
    split = SearchSplit(
        store.record_ids(Split.VALIDATION),
        store.record_ids(Split.HELD_OUT),
    )
    guard = RunGuard(urgent=context.check, seconds_left=seconds_left)
    evaluator = CascadeEvaluator(
        spec.cascade,
        calls.cascade(),
        pool,
        records,
        calls.metric(group),
        max_parallel_calls=spec.models.task.max_parallel_calls,
        check=guard.check,
        on_spared=calls.services.meter.remembered,
    )
    space = ProgramSpace.of(group.nodes, pool.counts)
    publisher.update(total=min(spec.optimizer.trials, space.size))
    start = data.start(group.key, validation=len(split.validation))
    search = GroupSearch(
        group,
        space,
        split,
        search_settings(
            context.config,
            group,
            pool.counts,
            validation=len(split.validation),
            held_out=len(split.held_out),
        ),
        evaluator=_MeteredEvaluator(evaluator, calls.services.meter),
        checkpoints=data.checkpoints(group.key),
        guard=guard,
        pool_digest=pool.digest,
        archived=None if start.choice is None else space.program(start.choice),
        proposals=unions(space, _parent_results(context, data, parents)),
        prior=start.prior,
        on_trial=lambda trials: _report(trials, space, publisher),
    )
    return search.run()


class _MeteredEvaluator:
    """Counts unreadable answers, and turns a budget that ran out into the end of the search."""

    def __init__(self, inner: Evaluator, meter: CallMeter) -> None:
        self._inner = inner
        self._meter = meter

    def evaluate(self, choice: Mapping[str, int], record_ids: Sequence[str]) -> Evaluation:
        try:
            found = self._inner.evaluate(choice, record_ids)
        except BudgetExceeded as error:
            raise SearchStopped(error.stop_reason) from error
        for _ in range(found.parse_failures):
            self._meter.parse_failed()
        return found


def _parent_results(
    context: JobContext, data: RunData, parents: Sequence[str]
) -> list[ParentResult]:
    found = []
    for key in parents:
        parse_key(key)
        finished = data.outcome(key)
        if finished is None:
            log_stage(42, f"subset {key} left no result; it contributes nothing")
            continue
        found.append(ParentResult(context.config.group(key), finished[0].choice))
    return found


def _report(trials: Sequence[Trial], space: ProgramSpace, publisher: ProgressPublisher) -> None:
    whole = [trial for trial in trials if trial.whole]
    base = next((t.score for t in whole if t.program == space.base), None)
    best = max((t.score for t in whole), default=None)
    last = trials[-1]
    log_stage(
        41,
        f"trial {last.number} {last.origin.value} scored {last.score:.4f} (best {best or 0.0:.4f})",
    )
    publisher.update(done=len(trials), baseline=base, score=best, publish=True)


def _figures(
    outcome: GroupOutcome, calls: JobCalls, peak: int, parents: Sequence[str]
) -> GroupResult:
    return GroupResult(
        group=outcome.group.key,
        trials=len(outcome.trials),
        baseline=outcome.baseline or 0.0,
        score=outcome.score or 0.0,
        held_out=outcome.held_out,
        baseline_held_out=outcome.baseline_held_out,
        previous_best=outcome.previous_best,
        converged=outcome.converged,
        reason=outcome.reason,
        peak_memory=peak,
        calls=calls.kept_figures(),
        lattice_parents=list(parents),
        choice=dict(outcome.choice),
    )
