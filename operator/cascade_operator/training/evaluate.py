"""Stage 43: scores a program of the cascade over records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from cascade_operator.api.cascade import CascadeSpec
from cascade_operator.api.errors import DataError
from cascade_operator.training.batch import BoundedBatch
from cascade_operator.training.evaluation import Evaluation, Evaluator
from cascade_operator.training.metric import Metric, ScoredRecord
from cascade_operator.training.pool import CandidatePool
from cascade_operator.training.runs import BatchedCascade, NodeRunner, RecordedInputs, Run

__all__ = ["CascadeEvaluator", "Evaluation", "Evaluator", "Record", "score_runs"]


class Record(RecordedInputs, ScoredRecord, Protocol):
    """What an evaluation reads of a record; the trace store's records have it."""


class CascadeEvaluator:
    """The evaluator of a Job: a cascade, its candidates, its records and a metric.

    Args:
        spec: The cascade.
        runner: Runs a node (agents.cascade.Cascade).
        pool: The candidates.
        records: Every record that may be asked for.
        metric: Scores outputs.
        max_parallel_calls: Model calls in flight at most.
        check: Asked between calls; raises to leave (a guard's ``check``).
        on_spared: See BatchedCascade.
    """

    def __init__(
        self,
        spec: CascadeSpec,
        runner: NodeRunner,
        pool: CandidatePool,
        records: Sequence[Record],
        metric: Metric,
        *,
        max_parallel_calls: int = 1,
        check: Callable[[], None] = lambda: None,
        on_spared: Callable[[int, int], None] = lambda _calls, _tokens: None,
    ) -> None:
        self._nodes = tuple(node.name for node in spec.nodes)
        self._pool = pool
        self._records = {record.record_id: record for record in records}
        self._metric = metric
        self._cascade = BatchedCascade(
            spec, runner, BoundedBatch(max_parallel_calls, check), on_spared=on_spared
        )

    @property
    def calls_per_record(self) -> int:
        """Nodes that run for one record: its logical calls."""
        last = self._metric.last_node
        return len(self._nodes) if last is None else self._nodes.index(last) + 1

    def evaluate(self, choice: Mapping[str, int], record_ids: Sequence[str]) -> Evaluation:
        """See Evaluator; a record whose answer cannot be read scores 0 and is counted."""
        records = [self._record(record_id) for record_id in record_ids]
        programs = self._pool.programs(choice)
        runs = self._cascade.run(records, programs, self._metric.last_node)
        return score_runs(self._metric, records, runs)

    def _record(self, record_id: str) -> Record:
        record = self._records.get(record_id)
        if record is None:
            raise DataError(f"record {record_id} is not among this run's traces")
        return record


def score_runs(metric: Metric, records: Sequence[Record], runs: Sequence[Run]) -> Evaluation:
    """Scores finished runs; one whose answer could not be read scores 0."""
    read = [place for place, run in enumerate(runs) if run.failed is None]
    scores = [0.0] * len(runs)
    found = metric.score_batch([records[i] for i in read], [runs[i].written for i in read])
    for place, score in zip(read, found, strict=True):
        scores[place] = score
    return Evaluation(tuple(scores), len(runs) - len(read))
