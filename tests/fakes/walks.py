"""Random walks through what may befall a session: Jobs, pods, people, queues, the API server."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Final

from cascade_operator.api.archive_spec import PublishSpec
from cascade_operator.api.calls import CallFigures
from cascade_operator.api.problem import Problem
from cascade_operator.api.records import Progress
from cascade_operator.api.resources_spec import MemorySpec
from cascade_operator.api.session import BudgetSpec
from cascade_operator.api.status import SpentStatus
from cascade_operator.control.domain.model import JobState, Observed, Plan, PodView, Refusal
from cascade_operator.control.domain.plan import plan
from cascade_operator.control.kube.port import NameConflictError, RefusedError
from cascade_operator.control.loop.reconcile import reconcile_once
from cascade_operator.control.manifests.labels import RETRAIN_ANNOTATION, run_of
from fakes.cluster import KEY, OVER_QUOTA, SUCCESS, FakeCluster, Outcome, part_of, spec_of

OUTCOMES: Final = (
    *((SUCCESS,) * 12),
    Outcome(silent=True),
    Outcome(64),
    Outcome(65),
    Outcome(69),
    Outcome(73),
    Outcome(75),
    Outcome(143),
    Outcome(1),
    Outcome(137, "OOMKilled"),
    Outcome(137),
    Outcome(143, "DeadlineExceeded"),
    Outcome(None, "Evicted"),
    Outcome(None, "BackoffLimitExceeded"),
)
DATA_GONE: Final = Outcome(66)
UNREADABLE: Final = Problem("spec.traces", "", "cannot be read")
REFUSALS: Final = (
    OVER_QUOTA,
    Refusal("Invalid", "spec.template: Invalid value"),
    Refusal("Forbidden", "cannot create resource jobs"),
)


def pods(name: str) -> tuple[PodView | None, ...]:
    """What may be known of a pending Job's pod."""
    return (
        None,
        PodView(name),
        PodView(name, unschedulable="0/3 nodes are available: 3 Insufficient cpu."),
        PodView(name, waiting_reason="ImagePullBackOff", waiting_message="back-off"),
        PodView(name, refused='pods "x" is forbidden: exceeded quota: q'),
        PodView(name, disrupted="DeletionByTaintManager: node n1 is lost"),
    )


class _Everything(set[str]):
    """Every name, for an API server that refuses all."""

    def __contains__(self, name: object) -> bool:
        return True


@dataclass
class Walk:
    """One walk. Each step is a pair of numbers, so that a failing walk shrinks."""

    data_gone: bool = False
    cluster: FakeCluster = field(default_factory=lambda: FakeCluster(spec=walked_spec()))
    successes: Counter[tuple[int, str]] = field(default_factory=Counter)

    def step(self, what: int, draw: int) -> str:
        """Has something happen; says what, for a reader of a failure."""
        chosen = _STEPS[what % len(_STEPS)]
        chosen(self, Random(draw))
        return chosen.__name__

    def succeed(self, jobs: int) -> None:
        """Has so many Jobs end well, one after another."""
        for _ in range(jobs):
            self.quiet()
            for name in self.cluster.live()[:1]:
                self.cluster.pass_time(40)
                self.finish(name, SUCCESS)

    def quiet(self) -> Plan:
        """Reconciles until nothing more is written, the time standing still.

        Raises:
            AssertionError: It does not settle.
        """
        for _ in range(60):
            before = self.cluster.written()
            with suppress(RefusedError, NameConflictError):  # a queue would try again
                asyncio.run(reconcile_once(self.cluster, KEY, self.cluster.now))
            if before == self.cluster.written():
                return plan(self.cluster.seen(), self.cluster.now)
        raise AssertionError("the plan does not settle")

    def heal(self) -> None:
        """Ends what disturbs, then lets every Job succeed until the run is over."""
        cluster = self.cluster
        cluster.refused_names, cluster.problems, cluster.deleting = set(), (), False
        cluster.foreign_names, cluster.before_status_write = set(), lambda: None
        cluster.published.pop("best", None)
        self.change(suspend=False, schedule="")
        for _ in range(200):
            step = self.quiet()
            run = cluster.status.run
            live = cluster.live()
            if run is not None and run.completion_time is not None and not live:
                return
            if not live:
                assert step.requeue_after, "nothing runs, nothing is awaited, and no run has ended"
                cluster.pass_time(step.requeue_after)
                continue
            self.finish(live[0], SUCCESS)
        raise AssertionError("the run does not end")

    def change(self, **changes: Any) -> None:
        """Edits the spec."""
        assert self.cluster.spec is not None
        changed = self.cluster.spec.model_copy(update=changes)
        if changed != self.cluster.spec:
            self.cluster.spec = changed
            self.cluster.generation += 1

    def finish(self, name: str, outcome: Outcome) -> None:
        """Ends a Job, or has one gone that is being deleted."""
        job = self.cluster.jobs[name]
        if job.state is JobState.DELETING:
            self.cluster.remove(name)
            return
        self.cluster.pods.pop(name, None)
        self.cluster.end(name, outcome)
        if outcome.exit_code == 0:
            self.successes[run_of(job.labels) or 0, part_of(job)] += 1


def walked_spec() -> Any:
    """Two nodes, so three groups; room for two Jobs at once."""
    memory = MemorySpec(budget="3Gi", max_per_job="2Gi")
    publish = PublishSpec(config_map="best")
    return spec_of(2, memory=memory, parallelism=2, max_failed_groups=3, publish=publish)


def shuffled(seen: Observed) -> Observed:
    """The same, its maps in another order."""
    return replace(
        seen,
        jobs=dict(reversed(seen.jobs.items())),
        pods=dict(reversed(seen.pods.items())),
        progress=dict(reversed(seen.progress.items())),
        refused=dict(reversed(seen.refused.items())),
        config_maps=frozenset(sorted(seen.config_maps, reverse=True)),
    )


def _end_a_job(walk: Walk, order: Random) -> None:
    live = walk.cluster.live()
    outcomes = (*OUTCOMES, DATA_GONE) if walk.data_gone else OUTCOMES
    if live:
        walk.finish(order.choice(live), order.choice(outcomes))


def _let_time_pass(walk: Walk, order: Random) -> None:
    walk.cluster.pass_time(order.choice((1, 29, 30, 61, 700, 3700, 90_000)))


def _pending(walk: Walk, order: Random) -> None:
    live = [n for n in walk.cluster.live() if walk.cluster.jobs[n].state is not JobState.DELETING]
    if live:
        name = order.choice(live)
        walk.cluster.pods.pop(name, None)
        walk.cluster.put_off(name, order.choice(pods(name)), held=order.random() < 0.2)


def _hold_all(walk: Walk, order: Random) -> None:
    del order
    for name in walk.cluster.live():
        if walk.cluster.jobs[name].state is not JobState.DELETING:
            walk.cluster.put_off(name, held=True)


def _run_all(walk: Walk, order: Random) -> None:
    del order
    for name, job in walk.cluster.jobs.items():
        if job.state in (JobState.HELD, JobState.PENDING):
            walk.cluster.run(name)


def _remove_a_job(walk: Walk, order: Random) -> None:
    if walk.cluster.jobs:
        walk.cluster.remove(order.choice(list(walk.cluster.jobs)))


def _remove_a_config_map(walk: Walk, order: Random) -> None:
    if walk.cluster.config_maps:
        del walk.cluster.config_maps[order.choice(list(walk.cluster.config_maps))]


def _refuse(walk: Walk, order: Random) -> None:
    walk.cluster.refused_names = _Everything() if order.random() < 0.4 else set()
    walk.cluster.refusal = order.choice(REFUSALS)


def _take_the_names(walk: Walk, order: Random) -> None:
    run = walk.cluster.status.run
    names = () if run is None else (run.prepare.job_name, "triage-r1-00", "triage-r1-config")
    walk.cluster.foreign_names = {order.choice(names)} if names and order.random() < 0.3 else set()


def _suspend(walk: Walk, order: Random) -> None:
    walk.change(suspend=order.random() < 0.4)


def _edit(walk: Walk, order: Random) -> None:
    assert walk.cluster.spec is not None
    optimizer = walk.cluster.spec.optimizer.model_copy(update={"trials": order.choice((20, 30))})
    walk.change(
        **order.choice(
            (
                {"optimizer": optimizer},
                {"backoff_limit": order.choice((0, 3))},
                {"parallelism": order.choice((1, 3))},
                {"queue_name": order.choice(("", "team"))},
                {"max_failed_groups": order.choice((0, 3))},
                {"ttl_seconds_after_finished": order.choice((0, 600))},
                {"budget": BudgetSpec(max_duration=order.choice(("10m", "24h")))},
                {"schedule": order.choice(("", "0 * * * *"))},
                {"publish": PublishSpec(config_map="best", min_improvement=order.choice((0, 1.0)))},
            )
        )
    )


def _retrain(walk: Walk, order: Random) -> None:
    walk.cluster.annotations[RETRAIN_ANNOTATION] = str(order.randrange(3))


def _break_the_spec(walk: Walk, order: Random) -> None:
    walk.cluster.problems = (UNREADABLE,) if order.random() < 0.2 else ()
    walk.cluster.generation += 1


def _figures(walk: Walk, order: Random) -> None:
    for name in ("prepare", "00", "01", "00_01"):
        done = order.randrange(40)
        walk.cluster.progress[name] = Progress(
            name=name,
            stage=41,
            done=done,
            total=40,
            calls=CallFigures(model_calls=done),
            spent=SpentStatus(calls=done),
        )


def _lose_redis(walk: Walk, order: Random) -> None:
    walk.cluster.progress.clear()
    walk.cluster.program = None if order.random() < 0.5 else FakeCluster.program


def _restart(walk: Walk, order: Random) -> None:
    """What an operator keeps in memory alone is gone."""
    del order
    walk.cluster.refused.clear()
    walk.cluster.publication = None


def _conflict(walk: Walk, order: Random) -> None:
    """Someone else writes the object before the next status write."""
    del order
    cluster = walk.cluster

    def once() -> None:
        cluster.before_status_write = lambda: None
        cluster.version += 1

    cluster.before_status_write = once


def _take_the_published_name(walk: Walk, order: Random) -> None:
    del order
    walk.cluster.published["best"] = {"metadata": {}, "data": {}}


_STEPS: Final[tuple[Callable[[Walk, Random], None], ...]] = (
    *((_end_a_job,) * 9),
    *((_let_time_pass,) * 3),
    *((_pending,) * 2),
    _hold_all,
    _run_all,
    _remove_a_job,
    _remove_a_config_map,
    _refuse,
    _take_the_names,
    _suspend,
    *((_edit,) * 2),
    _retrain,
    _break_the_spec,
    *((_figures,) * 3),
    _lose_redis,
    _restart,
    _conflict,
    _take_the_published_name,
)

STEPS: Final = len(_STEPS)
