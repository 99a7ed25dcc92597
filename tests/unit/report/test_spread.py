"""Intervals over records."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_operator.report.spread import intervals


def test_a_mean_lies_within_its_interval():
    found = intervals({"a": [0.1, 0.5, 0.9, 0.4], "b": [1.0, 0.0, 1.0, 0.0]})
    assert found["a"].value == pytest.approx(0.475)
    for one in found.values():
        assert one.low <= one.value <= one.high


def test_an_interval_is_that_of_the_normal_law_where_records_are_many():
    scores = np.random.default_rng(1).uniform(size=900)
    found = intervals({"a": scores.tolist()})["a"]
    error = scores.std() / np.sqrt(len(scores))
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_differences_are_paired():
    base = [0.1, 0.9, 0.2, 0.8]
    better = [score + 0.05 for score in base]
    found = intervals({"gain": [b - a for a, b in zip(base, better, strict=True)]})["gain"]
    assert (found.low, found.high) == (pytest.approx(0.05), pytest.approx(0.05))
    assert found.evidence


def test_equal_records_leave_no_doubt_and_none_leave_no_interval():
    assert intervals({"a": [0.5, 0.5], "b": []}).keys() == {"a"}
    assert not intervals({"a": [0.0, 0.0]})["a"].evidence


def test_the_same_seed_gives_the_same_interval():
    scores = {"a": [0.137 * i % 1 for i in range(40)]}
    assert intervals(scores, seed=3) == intervals(scores, seed=3)
    assert intervals(scores, seed=3) != intervals(scores, seed=4)
