"""What a search knows after some trials. Everything here follows from the trials alone.

A resumed search adds the checkpoint's trials in their order and stands, bit for bit, where the
killed one stood.
"""

from __future__ import annotations

from collections.abc import Sequence

from cascade_operator.training.posterior import Posterior
from cascade_operator.training.space import Program
from cascade_operator.training.trial import Trial


class History:
    """The trials so far and what follows from them.

    Attributes:
        trials: In order.
        posterior: Over the validation split. Each (program, record) pair counts once, also when
            a program was scored on a minibatch and again on the whole split.
    """

    def __init__(self, prior: Posterior) -> None:
        self.trials: list[Trial] = []
        self.posterior = prior
        self._values: dict[Program, float] = {}
        self._whole: dict[Program, Trial] = {}
        self._rows: dict[Program, set[int]] = {}
        self._best: Trial | None = None

    def add(self, trial: Trial) -> None:
        """Adds the next trial."""
        self.trials.append(trial)
        rows: Sequence[int] = range(len(self.posterior)) if trial.rows is None else trial.rows
        seen = self._rows.setdefault(trial.program, set())
        fresh = [(row, s) for row, s in zip(rows, trial.scores, strict=True) if row not in seen]
        if fresh:
            self.posterior = self.posterior.observe([r for r, _ in fresh], [s for _, s in fresh])
            seen.update(row for row, _ in fresh)
        if trial.whole:
            self._whole.setdefault(trial.program, trial)
            if self._best is None or trial.score > self._best.score:
                self._best = trial
        if trial.whole or trial.program not in self._whole:
            self._values[trial.program] = trial.score

    @property
    def best(self) -> Trial | None:
        """The best trial by whole-split score; the earlier one where two are equal."""
        return self._best

    @property
    def tried(self) -> dict[Program, float]:
        """Each program tried, in order, with its whole-split score or else its estimate."""
        return self._values

    def whole(self, program: Program) -> Trial | None:
        """The whole-split trial of a program, if it had one."""
        return self._whole.get(program)

    def best_estimated(self) -> Program | None:
        """The best program by estimate that was not scored whole; the earlier one where equal."""
        waiting = [p for p in self._values if p not in self._whole]
        return max(waiting, key=lambda p: self._values[p], default=None)

    def scored_records(self) -> int:
        """How often a record was scored, over all trials: the unit of logical calls."""
        return sum(len(trial.scores) for trial in self.trials)
