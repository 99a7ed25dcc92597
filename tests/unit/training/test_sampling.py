from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.training.sampling import (
    draw,
    horvitz_thompson_mean,
    inclusion_probabilities,
    systematic,
)

spreads = st.lists(st.floats(0, 0.5), min_size=1, max_size=40).map(np.array)


@st.composite
def populations(draw_: st.DrawFn) -> tuple[np.ndarray, int]:
    spread = draw_(spreads)
    return spread, draw_(st.integers(1, len(spread)))


@given(populations())
def test_inclusion_probabilities_sum_to_the_size_and_lie_in_0_to_1(
    population: tuple[np.ndarray, int],
) -> None:
    spread, size = population
    chances = inclusion_probabilities(spread, size)
    assert chances.sum() == pytest.approx(size)
    assert (chances > 0).all()
    assert (chances <= 1).all()


@given(populations(), st.integers(0, 2**32))
def test_a_draw_has_the_exact_size_and_no_record_twice(
    population: tuple[np.ndarray, int], seed: int
) -> None:
    spread, size = population
    rows = draw(inclusion_probabilities(spread, size), seed)
    assert len(rows) == len(set(rows)) == size
    assert list(rows) == sorted(rows)
    assert all(0 <= row < len(spread) for row in rows)


def test_half_is_uniform_and_half_follows_the_spread() -> None:
    chances = inclusion_probabilities(np.array([0.5, 0.5, 0.0, 0.0]), 2)
    # uniform share 0.25 each; spread share 0.5 for each of the first two
    assert chances.tolist() == pytest.approx([0.75, 0.75, 0.25, 0.25])


def test_what_a_certain_record_cannot_use_goes_to_the_others() -> None:
    chances = inclusion_probabilities(np.array([0.5, 0.0, 0.0, 0.0]), 2)
    assert chances.tolist() == pytest.approx([1.0, 1 / 3, 1 / 3, 1 / 3])


@pytest.mark.parametrize("size", [0, 5])
def test_an_impossible_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="minibatch"):
        inclusion_probabilities(np.full(4, 0.5), size)


def expectation(chances: np.ndarray, order: list[int], values: list[float]) -> float:
    """The estimate's exact mean over the start: it is constant between the ends' fractions."""
    line = [row for row in order if chances[row] < 1.0]
    fractions = {float(end % 1.0) for end in np.cumsum(chances[line])} | {0.0, 1.0}
    edges = sorted(f for f in fractions if 0.0 <= f <= 1.0)
    total = 0.0
    for low, high in itertools.pairwise(edges):
        rows = systematic(chances, order, (low + high) / 2)
        estimate = horvitz_thompson_mean(
            [values[r] for r in rows], [chances[r] for r in rows], len(values)
        )
        total += (high - low) * estimate
    return total


@given(populations(), st.data())
def test_the_estimate_is_unbiased_for_every_order(
    population: tuple[np.ndarray, int], data: st.DataObject
) -> None:
    spread, size = population
    count = len(spread)
    chances = inclusion_probabilities(spread, size)
    values = data.draw(st.lists(st.floats(-1, 1), min_size=count, max_size=count))
    order = data.draw(st.permutations(range(count)))
    assert expectation(chances, order, values) == pytest.approx(sum(values) / count, abs=1e-9)


def test_the_same_seed_draws_the_same_records_and_others_differ() -> None:
    chances = inclusion_probabilities(np.linspace(0.0, 0.5, 40), 10)
    draws = {draw(chances, seed) for seed in range(20)}
    assert draw(chances, 3) == draw(chances, 3)
    assert len(draws) > 15


def test_the_share_of_draws_a_record_is_in_is_its_chance() -> None:
    chances = inclusion_probabilities(np.array([0.5, 0.4, 0.3, 0.2, 0.1, 0.0]), 3)
    seen = np.zeros(6)
    for seed in range(3000):
        seen[list(draw(chances, seed))] += 1
    assert (seen / 3000).tolist() == pytest.approx(chances.tolist(), abs=0.03)
