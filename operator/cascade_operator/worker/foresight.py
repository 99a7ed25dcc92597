"""Stage 65 at the end of prepare: the run's own estimate, from what prepare knows and has seen."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from cascade_operator.api.estimate import CountRange
from cascade_operator.api.records import SplitCounts
from cascade_operator.archive.members import ESTIMATE
from cascade_operator.monitoring.stage_log import log_stage, run_stage
from cascade_operator.traces.record import Split
from cascade_operator.traces.store import TraceStore
from cascade_operator.training.calls.meter import CallMeter, MeterReading
from cascade_operator.training.estimate.ask import speed_of
from cascade_operator.training.estimate.compose import PrepareCost
from cascade_operator.training.estimate.prompts import prompts_of
from cascade_operator.training.estimate.speed import Speed, price_of
from cascade_operator.training.instructions import InstructionProposer, InstructionTask
from cascade_operator.training.pool import CandidatePool
from cascade_operator.worker.calls import JobCalls
from cascade_operator.worker.context import JobContext
from cascade_operator.worker.estimate import MOST_SAMPLE, Known, estimate, unasked_cascade
from cascade_operator.worker.run_data import RunData


@dataclass(slots=True)
class BaseRuns:
    """What the declared program's runs on training records took, seen from the meter.

    They are the only calls of prepare that the groups make too. They end where the first proposal
    begins, so this stands before the proposer.

    Args:
        proposer: Asked for instructions.
        meter: The Job's.
    """

    proposer: InstructionProposer
    meter: CallMeter
    began: float = field(default_factory=time.monotonic)
    before: MeterReading = field(init=False)
    after: MeterReading | None = None
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.before = self.meter.reading()

    def propose(self, task: InstructionTask) -> str | None:
        """See InstructionProposer."""
        if self.after is None:
            self.after, self.seconds = self.meter.reading(), time.monotonic() - self.began
        return self.proposer.propose(task)


def put_estimate(
    context: JobContext,
    calls: JobCalls,
    data: RunData,
    pool: CandidatePool,
    *,
    split: SplitCounts,
    base_runs: BaseRuns | None,
    finished: Collection[str],
    seconds: float,
) -> None:
    """Leaves the run's estimate for its readers; never a reason for prepare to fail.

    What an earlier attempt estimated stands: it was made when less was known, and is what the run
    is compared with.

    Args:
        context: The Job's context.
        calls: Its models.
        data: Where the estimate goes.
        pool: The candidates that the groups will search.
        split: Records by split.
        base_runs: What the base runs took; None where they were not made now.
        finished: Keys of groups that will not be searched again.
        seconds: Since the Job began.
    """
    try:
        if ESTIMATE in data.documents():
            return
        with run_stage(65, groups=len(context.config.groups)):
            known = _known(context, data, pool, split=split, finished=finished)
            prompts = prompts_of(known.cascade, pool, known.sample)
            speed = Speed()
            if base_runs is not None and base_runs.after is not None:
                asking = [one for one in prompts if one.asks]
                speed = speed_of(
                    base_runs.before,
                    base_runs.after,
                    wall=base_runs.seconds,
                    prompts=sum(one.prompts[0] for one in asking) / max(1, len(asking)),
                    answers=sum(one.answer for one in asking) / max(1, len(asking)),
                )
            known = replace(known, speed=speed, prepare=_spent(context, calls, seconds))
            found = estimate(known, prompts).estimate
            data.put_document(ESTIMATE, found.dump())
            log_stage(
                65,
                f"{found.model_calls.likely} model calls expected, "
                f"{found.model_calls.at_most} at most",
            )
    except Exception as error:  # noqa: BLE001 - a forecast must not cost a run its preparation
        log_stage(65, f"no estimate: {type(error).__name__}: {error}"[:500])


def _known(
    context: JobContext,
    data: RunData,
    pool: CandidatePool,
    *,
    split: SplitCounts,
    finished: Collection[str],
) -> Known:
    store = TraceStore(context.redis, context.keys)
    starts = {key: data.start(key).choice for key in context.config.groups}
    return Known(
        context.config,
        unasked_cascade(context.config.spec),
        pool,
        split,
        store.records(Split.TRAINING)[:MOST_SAMPLE],
        store.records(Split.VALIDATION),
        store.records(Split.HELD_OUT),
        starts={key: choice for key, choice in starts.items() if choice is not None},
        finished=finished,
        notes=("the shared cache is taken to hold nothing of the groups' calls yet",),
    )


def _spent(context: JobContext, calls: JobCalls, seconds: float) -> PrepareCost:
    """What prepare has spent by now, with its earlier attempts where Redis counted them."""
    figures, spent = calls.figures(), calls.services.budget
    counted = 0 if spent is None else spent.spent().calls
    made = max(figures.model_calls, counted)
    price = price_of(context.config.spec.models.task)
    tokens = figures.input_tokens + figures.output_tokens
    return PrepareCost(
        CountRange(likely=made, at_most=made),
        input=figures.input_tokens,
        output=figures.output_tokens,
        most_tokens=tokens,
        cost=price.micros(figures.input_tokens, figures.output_tokens) / 1e6,
        seconds=seconds,
        use=context.memory.peak,
    )
