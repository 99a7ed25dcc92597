"""What to try next: a pure function of the settings and the trials so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cascade_operator.api.status import StopReason
from cascade_operator.training.convergence import converged
from cascade_operator.training.history import History
from cascade_operator.training.sampler import suggest, trial_seed
from cascade_operator.training.sampling import (
    draw,
    horvitz_thompson_mean,
    inclusion_probabilities,
)
from cascade_operator.training.space import Program, ProgramSpace
from cascade_operator.training.trial import Origin

WHOLE_UP_TO = 50
"""Validation records up to which every trial is scored on all of them, unless the spec says."""
DEFAULT_MINIBATCH = 35
"""Records of a minibatch beyond that: MIPROv2's default."""


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How one group is searched.

    Attributes:
        seed: Of everything random.
        trials: Most trials, the baseline included.
        minibatch_size: Records per minibatch; 0 for the whole split; None for the default (the
            whole split up to 50 records, else 35).
        full_evaluation_every: With minibatches, each trial whose number divides by this scores
            the best program by estimate on the whole split.
        threshold: Smallest improvement that matters.
        patience: Distinct programs without it after which the search has converged.
        calls_per_record: Logical model calls that one record of one trial costs.
        max_calls: This group's share of the run's logical calls; None for no limit.
    """

    seed: int = 42
    trials: int = 40
    minibatch_size: int | None = None
    full_evaluation_every: int = 5
    threshold: float = 0.001
    patience: int = 10
    calls_per_record: int = 1
    max_calls: int | None = None

    def minibatch(self, records: int) -> int | None:
        """Records per minibatch for a split of this size; None where each trial takes all."""
        size = self.minibatch_size
        if size is None:
            size = 0 if records <= WHOLE_UP_TO else DEFAULT_MINIBATCH
        return size if 0 < size < records else None

    def records_per_trial(self, records: int) -> int:
        """Records a trial scores on average, at most: the unit of a budget's shares."""
        size = self.minibatch(records)
        if size is None:
            return records
        # Baseline, archived program and last trial are whole, and each of those on schedule.
        whole = min(self.trials, 3 + self.trials // max(1, self.full_evaluation_every))
        total = whole * records + (self.trials - whole) * size
        return -(-total // max(1, self.trials))


@dataclass(frozen=True, slots=True)
class Step:
    """The next trial: a program, why, and on which records (None for the whole split).

    ``chances`` holds the drawn records' inclusion probabilities.
    """

    program: Program
    origin: Origin
    rows: tuple[int, ...] | None = None
    chances: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Strategy:
    """Decides the next trial.

    Attributes:
        group: The group's key, which enters the seeds.
        space: The group's programs.
        settings: The search's settings.
        records: Size of the validation split.
        held_out: Size of the held-out split, whose scoring is kept in reserve.
        archived: The archived program, tried right after the baseline.
        proposals: The lattice's proposals, best first.
        sampler: Suggests a program from those tried; the estimate has a cheaper one.
    """

    group: str
    space: ProgramSpace
    settings: SearchSettings
    records: int
    held_out: int = 0
    archived: Program | None = None
    proposals: tuple[Program, ...] = ()
    sampler: Callable[[ProgramSpace, Mapping[Program, float], int], Program] = suggest

    def next(self, history: History) -> Step | StopReason:
        """Returns the next trial, or why there is none."""
        step = self._next_program(history)
        if isinstance(step, Step) and not self._affordable(history, step):
            return StopReason.CALL_BUDGET
        return step

    def _next_program(self, history: History) -> Step | StopReason:
        number = len(history.trials)
        if number == 0:
            return Step(self.space.base, Origin.BASELINE)
        waiting = history.best_estimated()
        exhausted = len(history.tried) >= self.space.size
        if exhausted and waiting is None:
            return StopReason.EXHAUSTED
        if number >= self.settings.trials:
            return StopReason.MAX_TRIALS
        if waiting is not None and (exhausted or self._whole_is_due(number)):
            return Step(waiting, Origin.WHOLE)
        settings = self.settings
        if converged(history.trials, threshold=settings.threshold, patience=settings.patience):
            return StopReason.CONVERGED
        return self._new_program(history, number)

    def _whole_is_due(self, number: int) -> bool:
        # The last trial, too: what was found since the last whole scoring must not be lost.
        every = max(1, self.settings.full_evaluation_every)
        return number % every == 0 or number == self.settings.trials - 1

    def _choose(self, history: History, number: int) -> tuple[Program, Origin]:
        tried = history.tried
        if self.archived is not None and self.archived not in tried:
            return self.archived, Origin.ARCHIVED
        # Half of the trials at most, so that the search keeps some of its own.
        for program in self.proposals[: max(1, self.settings.trials // 2)]:
            if program not in tried:
                return program, Origin.LATTICE
        seed = trial_seed(self.settings.seed, self.group, number)
        suggested = self.sampler(self.space, tried, seed)
        program = self.space.next_untried(suggested, tried) or suggested
        return program, Origin.SAMPLER if program == suggested else Origin.UNTRIED

    def _new_program(self, history: History, number: int) -> Step:
        program, origin = self._choose(history, number)
        size = self.settings.minibatch(self.records)
        # The archived program is reported as the previous best, so it is scored in full.
        if size is None or origin is Origin.ARCHIVED:
            return Step(program, origin)
        chances = inclusion_probabilities(history.posterior.spread, size)
        seed = trial_seed(self.settings.seed, self.group, number, "minibatch")
        rows = draw(chances, seed)
        return Step(program, origin, rows, tuple(float(chances[row]) for row in rows))

    def _affordable(self, history: History, step: Step) -> bool:
        settings = self.settings
        if settings.max_calls is None or not history.trials:  # without a baseline no result
            return True
        records = self.records if step.rows is None else len(step.rows)
        planned = history.scored_records() + records + 2 * self.held_out
        return planned * settings.calls_per_record <= settings.max_calls


def step_score(step: Step, scores: Sequence[float], history: History) -> float:
    """The mean over the whole split, or the incumbent's plus the estimated difference.

    Args:
        step: The trial.
        scores: Its records' scores, in the order of ``step.rows``.
        history: The trials before it.
    """
    incumbent = history.best
    if step.rows is None or incumbent is None:
        return sum(scores) / len(scores)
    differences = [
        score - incumbent.scores[row] for row, score in zip(step.rows, scores, strict=True)
    ]
    total = len(history.posterior)
    return incumbent.score + horvitz_thompson_mean(differences, step.chances, total)
