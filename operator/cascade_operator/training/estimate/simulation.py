"""Stage 65: the searches of a run without a call: the real strategy on answers nobody gave.

Groups are searched in lattice order by the ``Strategy`` that trains them, on scores of a seeded
landscape; what is counted are the distinct prompts. The work is bounded: of a large split some
records stand for the rest, and of a long search the first trials do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from cascade_operator.api.status import StopReason
from cascade_operator.training.estimate.answers import Answers
from cascade_operator.training.estimate.bound import Searched
from cascade_operator.training.estimate.flow import Ids, NodeFlow
from cascade_operator.training.estimate.landscape import Landscape, cheap_suggest
from cascade_operator.training.estimate.purse import Calls, Purse, add_calls
from cascade_operator.training.history import History
from cascade_operator.training.lattice import ParentResult, unions
from cascade_operator.training.posterior import Posterior
from cascade_operator.training.space import Program, ProgramSpace
from cascade_operator.training.strategy import SearchSettings, Step, Strategy, step_score
from cascade_operator.training.trial import Origin, Trial

WORK: Final = 600_000
"""Prompts that are numbered at most, over all groups: half a second, 40 MB."""
MOST_RECORDS: Final = 2_000
"""Records of a split that can stand for all."""
FEWEST_RECORDS: Final = 20
MOST_HELD_OUT: Final = 200
MOST_TRIALS: Final = 4_000
"""Trials that are simulated at most, over all groups; a group has 200 of them at most."""
EMBEDDING_BATCH: Final = 64


@dataclass(frozen=True, slots=True)
class Scene:
    """A run as far as it is known before it searches.

    Attributes:
        flows: The nodes.
        counts: Candidates a node, in cascade order.
        searches: The groups to search, small ones first.
        validation: What validation records give each node: one array a node, at least one record;
            the first ones are enough.
        held_out: Likewise for the held-out split.
        validation_size: Records of the validation split.
        held_out_size: Records of the held-out split.
        agreement: How often a node answers alike where its prompt differs, in cascade order.
        seed: Of the landscape.
        lattice: Whether groups start from what their subsets found.
    """

    flows: tuple[NodeFlow, ...]
    counts: tuple[int, ...]
    searches: tuple[Searched, ...]
    validation: tuple[Ids, ...]
    held_out: tuple[Ids, ...]
    agreement: tuple[float, ...]
    validation_size: int
    held_out_size: int
    seed: int = 42
    lattice: bool = True

    @property
    def counts_by_node(self) -> dict[str, int]:
        """Node name -> candidates."""
        return {flow.name: n for flow, n in zip(self.flows, self.counts, strict=True)}


@dataclass(slots=True)
class GroupCount:
    """What one group's search took.

    Attributes:
        calls: Model calls by node and candidate.
        logical: Node runs.
        trials: Trials.
        embeddings: Requests to the embedding server, where the objective embeds outputs.
        reason: Why it stopped.
    """

    calls: Calls = field(default_factory=dict)
    logical: float = 0.0
    trials: int = 0
    embeddings: int = 0
    reason: StopReason = StopReason.MAX_TRIALS


def simulate(scene: Scene, purse: Purse) -> dict[str, GroupCount]:
    """Searches every group once.

    Args:
        scene: The run.
        purse: What it may spend; what it holds afterwards is what was left.

    Returns:
        Group key -> what it took, in the order of the searches.
    """
    simulation = _Simulation(scene, purse)
    return {one.group.key: simulation.search(one) for one in scene.searches}


class _Simulation:
    def __init__(self, scene: Scene, purse: Purse) -> None:
        self._scene = scene
        self._purse = purse
        total = scene.validation_size
        trials = sum(self._trials(one) for one in scene.searches)
        affordable = WORK // max(1, trials * len(scene.flows))
        self._records = min(len(scene.validation[0]), max(FEWEST_RECORDS, affordable))
        self._whole_weight = total / self._records
        held = min(len(scene.held_out[0]), MOST_HELD_OUT)
        self._held_weight = scene.held_out_size / held if held else 1.0
        agreement = scene.agreement
        self._validation = Answers(
            scene.flows, [one[: self._records] for one in scene.validation], agreement
        )
        self._held = Answers(scene.flows, [one[:held] for one in scene.held_out], agreement)
        self._held_records = held
        self._landscape = Landscape(scene.seed, self._records)
        self._seen: list[set[int]] = [set() for _ in scene.flows]
        self._scored: set[int] = set()
        self._found: list[ParentResult] = []

    def _trials(self, one: Searched) -> int:
        most = max(FEWEST_RECORDS, min(200, MOST_TRIALS // max(1, len(self._scene.searches))))
        return min(one.settings.trials, most)

    def search(self, one: Searched) -> GroupCount:
        space = ProgramSpace.of(one.group.nodes, self._scene.counts_by_node)
        settings, mini_weight = self._settings(one)
        strategy = Strategy(
            one.group.key,
            space,
            settings,
            records=self._records,
            held_out=self._held_records,
            archived=one.archived,
            proposals=self._proposals(one, space),
            sampler=cheap_suggest,
        )
        history, count = History(Posterior.uniform(self._records)), GroupCount()
        recent: list[Calls] = []
        while True:
            step = strategy.next(history)
            if isinstance(step, StopReason):
                count.reason = step
                break
            weight = self._whole_weight if step.rows is None else mini_weight
            took, rows = self._run(self._validation, one, step, weight=weight, count=count)
            recent.append(took)
            reason = self._purse.pay(took)
            add_calls(count.calls, took)
            if reason is not None:
                count.reason = reason
                break
            scores = self._landscape.scores(self._whole(one, step.program))[rows]
            values = tuple(scores.tolist())
            score = step_score(step, values, history)
            number = len(history.trials)
            history.add(Trial(number, step.program, step.origin, step.rows, values, score))
        count.trials = len(history.trials)
        self._go_on(one, space, count, recent)
        self._finish(one, space, history, count)
        return count

    def _settings(self, one: Searched) -> tuple[SearchSettings, float]:
        """The settings for the records that stand for all, and how many a minibatch's stand for."""
        settings, total = one.settings, self._scene.validation_size
        size, weight = settings.minibatch(total), 1.0
        if size is not None:
            fewer = min(size, max(1, round(size * self._records / total)), self._records - 1)
            weight, size = size / fewer, fewer
        share = settings.max_calls
        if share is not None:
            share = math.ceil(share / self._whole_weight)
        trials = self._trials(one)
        return replace(settings, minibatch_size=size or 0, trials=trials, max_calls=share), weight

    def _proposals(self, one: Searched, space: ProgramSpace) -> tuple[Program, ...]:
        if not self._scene.lattice:
            return ()
        inside = set(one.group.positions)
        return unions(
            space,
            [
                found
                for found in self._found
                if found.group.size == one.group.size - 1 and set(found.group.positions) < inside
            ],
        )

    def _whole(self, one: Searched, program: Program) -> tuple[int, ...]:
        """The candidate of every node of the cascade."""
        chosen = dict(zip(one.group.positions, program, strict=True))
        return tuple(chosen.get(place, 0) for place in range(len(self._scene.flows)))

    def _run(
        self, answers: Answers, one: Searched, step: Step, *, weight: float, count: GroupCount
    ) -> tuple[Calls, list[int] | slice]:
        choice = self._whole(one, step.program)
        rows: list[int] | slice = slice(None) if step.rows is None else list(step.rows)
        took: Calls = {}
        for place in range(one.last + 1):
            asked = answers.asked(place, choice)[rows].tolist()
            count.logical += len(asked) * weight
            seen = self._seen[place]
            before = len(seen)
            seen.update(asked)
            if len(seen) > before:
                took[place, choice[place]] = (len(seen) - before) * weight
        before = len(self._scored)
        self._scored.update(answers.written(one.last, choice)[rows].tolist())
        fresh = (len(self._scored) - before) * weight
        count.embeddings += math.ceil(fresh / EMBEDDING_BATCH)
        return took, rows

    def _go_on(
        self,
        one: Searched,
        space: ProgramSpace,
        count: GroupCount,
        recent: Sequence[Calls],
    ) -> None:
        """Lets the last trials stand for those that were too many to simulate."""
        more = min(one.settings.trials, space.size) - count.trials
        if more <= 0 or count.reason is not StopReason.MAX_TRIALS:
            return
        last = recent[-10:]
        for took in last:
            add_calls(count.calls, took, more / len(last))
        count.logical *= (count.trials + more) / max(1, count.trials)
        count.trials += more

    def _finish(
        self, one: Searched, space: ProgramSpace, history: History, count: GroupCount
    ) -> None:
        best = history.best
        program = space.base if best is None else best.program
        self._found.append(ParentResult(one.group, space.choice(program)))
        if not self._held_records:
            return
        for scored in dict.fromkeys((space.base, program)):
            step = Step(scored, Origin.WHOLE)
            took, _ = self._run(self._held, one, step, weight=self._held_weight, count=count)
            self._purse.pay(took)
            add_calls(count.calls, took)
