"""Stage 65: when each Job of a run would begin and end, and what runs at once.

Jobs share the model's server. Its answers a second grow with the calls in flight as
``calls ** exponent``: with what two calls at once gained over one, so that a server which computes
one request at a time has exponent 0 and one that never slows down has 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

_NOTHING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """One Job.

    Attributes:
        name: Its name.
        work: Seconds of model calls, as one call after the other would take alone.
        overhead: Seconds of anything else: its start, its end.
        after: Names of the Jobs that have to end before.
        limit: Its memory limit in bytes.
        use: Bytes it is expected to use.
    """

    name: str
    work: float
    overhead: float
    after: tuple[str, ...] = ()
    limit: int = 0
    use: int = 0


@dataclass(frozen=True, slots=True)
class Schedule:
    """What came of it.

    Attributes:
        seconds: Until the last Job has ended.
        times: Job -> (start, end), in seconds.
        limits: Highest sum of the limits of Jobs that ran at once, bytes.
        use: Highest sum of what they are expected to use, bytes.
        at_once: Most Jobs at once.
    """

    seconds: float
    times: dict[str, tuple[float, float]] = field(default_factory=dict)
    limits: int = 0
    use: int = 0
    at_once: int = 0


def exponent_of(gain: float) -> float:
    """Returns the exponent for what two calls at once gain over one (1 to 2)."""
    return math.log2(min(2.0, max(1.0, gain)))


@dataclass(slots=True)
class _Running:
    job: PlannedJob
    start: float
    overhead: float
    work: float


def schedule(
    jobs: Sequence[PlannedJob],
    *,
    parallelism: int,
    budget: int | None,
    calls_in_flight: int,
    exponent: float,
) -> Schedule:
    """Runs Jobs on paper, each as soon as it may.

    Args:
        jobs: In the order of admission; every ``after`` names one of them.
        parallelism: Jobs at once.
        budget: Sum of limits at once in bytes; None for no bound.
        calls_in_flight: Calls that one Job keeps in flight.
        exponent: See the module.
    """
    waiting, now = list(jobs), 0.0
    running: list[_Running] = []
    times: dict[str, tuple[float, float]] = {}
    limits = use = at_once = 0
    while waiting or running:
        running += _admitted(
            waiting, running, times, now=now, parallelism=parallelism, budget=budget
        )
        if not running:  # a limit above the budget would never start: validation refuses it
            break
        limits = max(limits, sum(one.job.limit for one in running))
        use = max(use, sum(one.job.use for one in running))
        at_once = max(at_once, len(running))
        now += _advance(running, calls_in_flight, exponent)
        for one in [one for one in running if one.work <= _NOTHING and one.overhead <= _NOTHING]:
            running.remove(one)
            times[one.job.name] = (one.start, now)
    return Schedule(now, times, limits, use, at_once)


def _admitted(
    waiting: list[PlannedJob],
    running: Sequence[_Running],
    ended: dict[str, tuple[float, float]],
    *,
    now: float,
    parallelism: int,
    budget: int | None,
) -> list[_Running]:
    found: list[_Running] = []
    used = sum(one.job.limit for one in running)
    for job in list(waiting):
        if len(running) + len(found) >= parallelism:
            break
        if all(name in ended for name in job.after) and (
            budget is None or used + job.limit <= budget
        ):
            waiting.remove(job)
            used += job.limit
            found.append(_Running(job, now, job.overhead, job.work))
    return found


def _advance(running: Sequence[_Running], calls_in_flight: int, exponent: float) -> float:
    """Lets time pass until the next Job is through with its overhead or its calls."""
    calling = [one for one in running if one.overhead <= _NOTHING and one.work > _NOTHING]
    starting = [one for one in running if one.overhead > _NOTHING]
    rate = 0.0
    if calling:
        rate = (len(calling) * calls_in_flight) ** exponent / len(calling)
    step = min([one.overhead for one in starting] + [one.work / rate for one in calling] or [0.0])
    for one in starting:
        one.overhead -= step
    for one in calling:
        one.work -= step * rate
    return step
