"""Jobs on paper: who runs when, on what memory, at what speed."""

from __future__ import annotations

import pytest

from cascade_operator.training.estimate.schedule import PlannedJob, exponent_of, schedule


def jobs(*names: str, work: float = 10.0, after: tuple[str, ...] = ()) -> list[PlannedJob]:
    return [PlannedJob(name, work, 1.0, after, limit=100, use=30) for name in names]


@pytest.mark.parametrize(
    ("gain", "parallelism", "seconds"),
    [
        # Two Jobs of ten seconds of calls and one second of start each, one call in flight.
        pytest.param(1.0, 2, 21.0, id="one request at a time"),
        pytest.param(2.0, 2, 11.0, id="two cost nothing more"),
        pytest.param(2.0, 1, 22.0, id="one Job at a time"),
    ],
)
def test_jobs_share_the_server(gain: float, parallelism: int, seconds: float) -> None:
    found = schedule(
        jobs("a", "b"),
        parallelism=parallelism,
        budget=None,
        calls_in_flight=1,
        exponent=exponent_of(gain),
    )
    assert found.seconds == pytest.approx(seconds)


def test_calls_in_flight_of_one_job_count_too() -> None:
    found = schedule(jobs("a"), parallelism=1, budget=None, calls_in_flight=4, exponent=0.5)
    assert found.seconds == pytest.approx(1 + 10 / 2)


def test_a_group_waits_for_its_subsets() -> None:
    found = schedule(
        [*jobs("a", "b"), *jobs("ab", after=("a", "b"))],
        parallelism=5,
        budget=None,
        calls_in_flight=1,
        exponent=1.0,
    )
    assert found.times["ab"][0] == max(found.times["a"][1], found.times["b"][1])
    assert found.at_once == 2


@pytest.mark.parametrize(
    ("budget", "at_once", "limits"), [(None, 3, 300), (250, 2, 200), (100, 1, 100)]
)
def test_a_memory_budget_holds_jobs_back(budget: int | None, at_once: int, limits: int) -> None:
    found = schedule(
        jobs("a", "b", "c"), parallelism=5, budget=budget, calls_in_flight=1, exponent=1.0
    )
    assert (found.at_once, found.limits, found.use) == (at_once, limits, 30 * at_once)
    assert set(found.times) == {"a", "b", "c"}


def test_a_job_that_never_fits_ends_the_schedule() -> None:
    found = schedule(jobs("a"), parallelism=1, budget=50, calls_in_flight=1, exponent=1.0)
    assert (found.seconds, found.times) == (0.0, {})


@pytest.mark.parametrize(("gain", "exponent"), [(0.5, 0.0), (1.0, 0.0), (2.0, 1.0), (9.0, 1.0)])
def test_a_gain_outside_its_bounds_is_taken_for_the_nearest(gain: float, exponent: float) -> None:
    assert exponent_of(gain) == exponent
