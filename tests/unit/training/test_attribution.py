from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.training.attribution import attribute

NODES = ("a", "b", "c")


def subsets(nodes=NODES):
    for size in range(1, len(nodes) + 1):
        yield from map(frozenset, itertools.combinations(nodes, size))


def by_definition(nodes, value) -> dict[str, float]:
    """The Shapley value as the mean marginal gain over all orders."""
    total = dict.fromkeys(nodes, 0.0)
    for order in itertools.permutations(nodes):
        before: frozenset = frozenset()
        for node in order:
            total[node] += value[before | {node}] - value[before]
            before |= {node}
    return {node: gain / math.factorial(len(nodes)) for node, gain in total.items()}


@given(st.lists(st.lists(st.floats(0, 1), min_size=5, max_size=5), min_size=8, max_size=8))
def test_it_is_the_mean_marginal_gain_over_all_orders_and_sums_to_the_whole_gain(
    rows: list[list[float]],
) -> None:
    baseline, others = rows[0], dict(zip(subsets(), rows[1:], strict=True))
    found = attribute(NODES, baseline, others, resamples=10)
    assert found is not None
    means = {frozenset(): np.mean(baseline)} | {s: np.mean(v) for s, v in others.items()}
    expected = by_definition(NODES, means)
    for one in found:
        assert one.value == pytest.approx(expected[one.node], abs=1e-12)
    gain = means[frozenset(NODES)] - means[frozenset()]
    assert sum(one.value for one in found) == pytest.approx(gain, abs=1e-12)


def test_a_node_that_helps_every_record_has_evidence_and_one_that_does_nothing_has_none() -> None:
    generator = np.random.default_rng(1)
    base = generator.uniform(0.2, 0.6, 60)
    noise = generator.normal(0.0, 0.1, 60)
    effect = {"a": 0.3, "b": 0.0, "c": noise}
    scores = {s: base + sum(effect[node] for node in s) for s in subsets()}
    found = {one.node: one for one in attribute(NODES, base, scores) or ()}
    assert found["a"].evidence
    assert found["a"].low == pytest.approx(0.3)
    assert not found["b"].evidence
    assert not found["c"].evidence
    assert found["c"].low < 0.0 < found["c"].high


def test_the_interval_is_that_of_a_mean_over_records() -> None:
    generator = np.random.default_rng(2)
    gain = generator.normal(0.1, 0.2, 400)
    found = attribute(("a",), np.zeros(400), {frozenset("a"): gain})
    assert found is not None
    half = 1.96 * gain.std() / math.sqrt(400)
    assert found[0].low == pytest.approx(gain.mean() - half, abs=0.004)
    assert found[0].high == pytest.approx(gain.mean() + half, abs=0.004)


def test_the_same_seed_gives_the_same_interval() -> None:
    scores = {frozenset("a"): [0.1, 0.9, 0.4]}
    assert attribute(("a",), [0.0] * 3, scores) == attribute(("a",), [0.0] * 3, scores)


def test_without_every_subset_there_is_no_attribution() -> None:
    scores = {subset: [0.5, 0.5] for subset in subsets()}
    del scores[frozenset("ab")]
    assert attribute(NODES, [0.1, 0.2], scores) is None


def test_without_held_out_records_there_is_no_attribution() -> None:
    assert attribute(("a",), [], {frozenset("a"): []}) is None


def test_score_vectors_of_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="one held-out score per record"):
        attribute(("a",), [0.1, 0.2], {frozenset("a"): [0.1]})


def test_six_nodes_have_sixty_three_groups() -> None:
    nodes = tuple("abcdef")
    scores = {s: np.full(50, 0.1 * len(s)) for s in subsets(nodes)}
    found = attribute(nodes, np.zeros(50), scores)
    assert [round(one.value, 9) for one in found or ()] == [0.1] * 6
