"""Stage 41: the search of one node group, by ask and tell.

Before each trial the guard is asked; after each trial the state is saved. What is lost by leaving
at any moment is the trial in flight, and a search that goes on from its checkpoint ends with the
same trials, bit for bit, as one that was never stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cascade_operator.api.errors import DataError
from cascade_operator.api.groups import NodeGroup
from cascade_operator.api.status import StopReason
from cascade_operator.monitoring.stage_log import log_stage, run_stage
from cascade_operator.training.checkpoint import CheckpointStore
from cascade_operator.training.evaluation import Evaluation, Evaluator
from cascade_operator.training.history import History
from cascade_operator.training.outcome import GroupOutcome
from cascade_operator.training.posterior import Posterior
from cascade_operator.training.space import Program, ProgramSpace
from cascade_operator.training.state import Finished, SearchState, fingerprint
from cascade_operator.training.stopping import Guard, SearchStopped
from cascade_operator.training.strategy import SearchSettings, Step, Strategy, step_score
from cascade_operator.training.trial import Trial

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SearchSplit:
    """The records a search is judged on, each split in its own fixed order.

    Attributes:
        validation: Record ids that select; at least one.
        held_out: Record ids that are scored once, after selection; may be empty.
    """

    validation: tuple[str, ...]
    held_out: tuple[str, ...]


class GroupSearch:
    """Searches the programs of one node group.

    Args:
        group: The group.
        space: Its programs.
        split: The records to score on.
        settings: See SearchSettings.
        evaluator: Scores a program on records.
        checkpoints: Keeps the state.
        guard: Says when to leave.
        pool_digest: Identifies the candidates; a checkpoint of other ones is not resumed.
        archived: The archived program of a warm start.
        proposals: The lattice's proposals, best first.
        prior: Posterior to start from; uniform by default.
        on_trial: Called after each trial with all trials so far, the restored ones included.
    """

    def __init__(
        self,
        group: NodeGroup,
        space: ProgramSpace,
        split: SearchSplit,
        settings: SearchSettings,
        *,
        evaluator: Evaluator,
        checkpoints: CheckpointStore,
        guard: Guard,
        pool_digest: str = "",
        archived: Program | None = None,
        proposals: Sequence[Program] = (),
        prior: Posterior | None = None,
        on_trial: Callable[[Sequence[Trial]], None] = lambda _trials: None,
    ) -> None:
        self._group = group
        self._space = space
        self._split = split
        self._settings = settings
        self._evaluator = evaluator
        self._checkpoints = checkpoints
        self._guard = guard
        self._on_trial = on_trial
        self._history = History(prior or Posterior.uniform(len(split.validation)))
        self._state = SearchState(
            fingerprint(group.key, settings, pool_digest, split.validation, split.held_out),
            tuple(proposals),
            archived,
        )

    def run(self) -> GroupOutcome:
        """Searches to the end and returns the result.

        Raises:
            MemoryGateReached: The gate was reached; the checkpoint holds all finished trials.
            Terminated: The process was told to stop; likewise.
            ServiceUnavailable: A server failed; the trial in flight is not recorded.
        """
        with run_stage(41, group=self._group.key, programs=self._space.size):
            self._restore()
            if self._state.finished is None:
                reason = self._search()
                log_stage(41, f"{reason.value} after {len(self._history.trials)} trials")
                self._finish(reason)
        return self._outcome()

    def _restore(self) -> None:
        saved = self._checkpoints.load()
        if saved is None:
            return
        try:
            state = SearchState.from_json(saved)
        except ValueError as error:
            self._leave_out(error)
            return
        if state.fingerprint != self._state.fingerprint:
            _LOG.warning(
                "the checkpoint of %s belongs to other candidates, records or settings: "
                "the search starts anew",
                self._group.key,
            )
            return
        try:
            state.check(self._space, len(self._split.validation), len(self._split.held_out))
        except ValueError as error:
            self._leave_out(error)
            return
        self._state = state
        for trial in state.trials:
            self._history.add(trial)
        if state.trials:
            log_stage(49, f"group {self._group.key} goes on after trial {len(state.trials) - 1}")
            self._on_trial(state.trials)

    def _leave_out(self, why: ValueError) -> None:
        _LOG.warning(
            "the checkpoint of %s is left out, the search starts anew: %s", self._group.key, why
        )

    def _search(self) -> StopReason:
        strategy = Strategy(
            self._group.key,
            self._space,
            self._settings,
            records=len(self._split.validation),
            held_out=len(self._split.held_out),
            archived=self._state.archived,
            proposals=self._state.proposals,
        )
        while True:
            step = strategy.next(self._history)
            if isinstance(step, StopReason):
                return step
            try:
                self._guard.check()
                trial = self._try(step)
            except SearchStopped as stopped:
                return stopped.reason
            self._history.add(trial)
            self._state.trials.append(trial)
            self._save()
            self._on_trial(self._state.trials)

    def _try(self, step: Step) -> Trial:
        validation = self._split.validation
        ids = validation if step.rows is None else tuple(validation[row] for row in step.rows)
        evaluation = self._evaluate(step.program, ids)
        return Trial(
            number=len(self._history.trials),
            program=step.program,
            origin=step.origin,
            rows=step.rows,
            scores=evaluation.scores,
            score=step_score(step, evaluation.scores, self._history),
            parse_failures=evaluation.parse_failures,
        )

    def _evaluate(self, program: Program, ids: Sequence[str]) -> Evaluation:
        evaluation = self._evaluator.evaluate(self._space.choice(program), ids)
        if len(evaluation.scores) != len(ids):
            raise DataError(f"{len(evaluation.scores)} scores came back for {len(ids)} records")
        return evaluation

    def _finish(self, reason: StopReason) -> None:
        """Scores the best and the base program on the held-out split: once, after selection."""
        self._guard.wind_up()
        best, ids = self._history.best, self._split.held_out
        held_out: tuple[float, ...] | None = None
        baseline: tuple[float, ...] | None = None
        if best is not None and ids:
            try:
                self._guard.check()
                baseline = self._evaluate(self._space.base, ids).scores
                held_out = baseline
                if best.program != self._space.base:
                    held_out = None
                    held_out = self._evaluate(best.program, ids).scores
            except SearchStopped:
                _LOG.warning("no time was left for the held-out scores of %s", self._group.key)
        self._state.finished = Finished(reason, held_out, baseline)
        self._save()

    def _save(self) -> None:
        self._checkpoints.save(self._state.to_json())

    def _outcome(self) -> GroupOutcome:
        state, history = self._state, self._history
        finished = state.finished
        if finished is None:
            raise RuntimeError("the search is not over")
        best, baseline = history.best, history.whole(self._space.base)
        archived = None if state.archived is None else history.whole(state.archived)
        return GroupOutcome(
            group=self._group,
            choice=self._space.choice(best.program if best else self._space.base),
            trials=tuple(state.trials),
            baseline=baseline.score if baseline else None,
            score=best.score if best else None,
            held_out=_mean(finished.held_out) if finished.held_out else None,
            baseline_held_out=_mean(finished.baseline_held_out)
            if finished.baseline_held_out
            else None,
            held_out_scores=finished.held_out or (),
            baseline_held_out_scores=finished.baseline_held_out or (),
            previous_best=archived.score if archived else None,
            posterior=history.posterior,
            record_ids=self._split.validation,
            held_out_ids=self._split.held_out,
            reason=finished.reason,
        )


def _mean(scores: Sequence[float]) -> float:
    return sum(scores) / len(scores)
