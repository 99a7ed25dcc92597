from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.training.posterior import MAX_COUNT, Posterior, restored
from cascade_operator.training.sampling import inclusion_probabilities

scores = st.floats(0, 1)


def test_a_fresh_posterior_is_uniform() -> None:
    fresh = Posterior.uniform(3)
    assert fresh.mean.tolist() == [0.5] * 3
    assert fresh.spread.tolist() == [0.5] * 3
    assert fresh.parameters().tolist() == [[1.0, 1.0]] * 3


def test_a_score_counts_as_gain_and_its_complement_as_loss() -> None:
    seen = Posterior.uniform(3).observe([0, 2], [1.0, 0.25])
    assert seen.losses.tolist() == [0.0, 0.0, 0.75]
    assert seen.gains.tolist() == [1.0, 0.0, 0.25]
    assert seen.mean[0] == pytest.approx(1 / 3)
    assert seen.mean[2] == pytest.approx(1.75 / 3)


def test_observing_leaves_the_old_posterior_as_it_was() -> None:
    fresh = Posterior.uniform(2)
    fresh.observe([0], [0.0])
    assert fresh.losses.tolist() == [0.0, 0.0]


@given(st.lists(st.lists(scores, min_size=4, max_size=4), max_size=30))
def test_it_stays_a_distribution_whatever_is_observed(trials: list[list[float]]) -> None:
    posterior = Posterior.uniform(4)
    for trial in trials:
        posterior = posterior.observe(range(4), trial)
    alpha_beta = posterior.parameters()
    assert (alpha_beta >= 1.0).all()
    assert np.allclose(alpha_beta.sum(axis=1), 2.0 + len(trials))
    assert ((posterior.mean > 0) & (posterior.mean < 1)).all()
    assert ((posterior.spread > 0) & (posterior.spread <= 0.5)).all()


@st.composite
def histories(draw: st.DrawFn) -> tuple[Posterior, list[tuple[list[int], list[float]]]]:
    """A prior of any counts that are read, and what programs scored on some of its records."""
    size = draw(st.integers(1, 6))
    counts = st.lists(st.floats(0, MAX_COUNT), min_size=size, max_size=size)
    prior = Posterior(np.array(draw(counts)), np.array(draw(counts)))
    rows = st.lists(st.integers(0, size - 1), max_size=size, unique=True)
    seen = [
        (some, draw(st.lists(scores, min_size=len(some), max_size=len(some))))
        for some in draw(st.lists(rows, max_size=12))
    ]
    return prior, seen


@given(histories(), st.randoms(use_true_random=False))
def test_from_any_prior_by_any_way_it_stays_a_distribution(history, shuffled) -> None:
    prior, seen = history
    posterior = prior
    for rows, found in seen:
        posterior = posterior.observe(rows, found)
        assert np.isfinite(posterior.parameters()).all()
        assert (posterior.parameters() >= 1.0).all()
        assert ((posterior.mean > 0) & (posterior.mean < 1)).all()
        assert ((posterior.spread > 0) & (posterior.spread <= 0.5)).all()
    for size in range(1, len(prior) + 1):
        chances = inclusion_probabilities(posterior.spread, size)
        assert ((chances > 0) & (chances <= 1)).all()
        assert chances.sum() == pytest.approx(size)
    assert json.loads(json.dumps(prior.to_json(), allow_nan=False)) == prior.to_json()
    shuffled.shuffle(seen)
    other = prior
    for rows, found in seen:
        other = other.observe(rows, found)
    np.testing.assert_allclose(other.parameters(), posterior.parameters(), rtol=1e-12)


@given(
    st.dictionaries(st.sampled_from("abcd"), st.tuples(st.floats(), st.floats())),
    st.lists(st.sampled_from("abcdef"), unique=True, max_size=6),
)
def test_from_any_archived_counts_a_prior_is_a_capped_distribution(counts, ids) -> None:
    prior = restored(counts, ids)
    assert len(prior) == len(ids)
    assert np.isfinite(prior.parameters()).all()
    assert ((prior.losses >= 0) & (prior.gains >= 0)).all()
    assert (prior.losses + prior.gains <= 8.0 + 1e-9).all()
    assert ((prior.mean > 0) & (prior.mean < 1)).all()


def test_records_on_which_programs_disagree_spread_most() -> None:
    posterior = Posterior.uniform(3)
    for solved in (1.0, 0.0, 1.0, 0.0):
        posterior = posterior.observe([0, 1, 2], [solved, 1.0, 0.0])
    assert posterior.spread[0] > posterior.spread[1] == pytest.approx(posterior.spread[2])


@given(st.lists(st.tuples(st.floats(0, 99), st.floats(0, 99)), min_size=1, max_size=5))
def test_json_is_exact(counts: list[tuple[float, float]]) -> None:
    losses, gains = zip(*counts, strict=True)
    posterior = Posterior(np.array(losses), np.array(gains))
    again = Posterior.from_json(json.loads(json.dumps(posterior.to_json())))
    assert again.losses.tobytes() == posterior.losses.tobytes()
    assert again.gains.tobytes() == posterior.gains.tobytes()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({}, id="empty"),
        pytest.param({"losses": [1], "gains": [1, 2]}, id="lengths differ"),
        pytest.param({"losses": [-1.0], "gains": [0.0]}, id="negative"),
        pytest.param({"losses": [float("nan")], "gains": [0.0]}, id="nan"),
        pytest.param({"losses": ["x"], "gains": [0.0]}, id="text"),
        pytest.param({"losses": [1e17], "gains": [0.0]}, id="huge"),
        pytest.param({"losses": [10**400], "gains": [0.0]}, id="beyond numbers"),
        pytest.param({"losses": [[1.0]], "gains": [[1.0]]}, id="matrix"),
    ],
)
def test_what_is_no_posterior_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Posterior.from_json(data)


def test_restoring_halves_counts_caps_them_and_leaves_new_records_uniform() -> None:
    archived = {"a": (1.0, 3.0), "b": (100.0, 300.0), "gone": (5.0, 5.0)}
    prior = restored(archived, ["b", "new", "a"], cap=8.0)
    assert prior.losses.tolist() == [2.0, 0.0, 0.5]
    assert prior.gains.tolist() == [6.0, 0.0, 1.5]


def test_restoring_ignores_broken_counts() -> None:
    prior = restored({"a": (float("nan"), 1.0), "b": (-1.0, 3.0)}, ["a", "b"])
    assert prior.losses.tolist() == prior.gains.tolist() == [0.0, 0.0]
