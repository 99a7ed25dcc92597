"""What the archive Job reports: the best group and what each node's training was worth."""

from __future__ import annotations

import pytest

from cascade_operator.training.results import attribution_of, best_of
from fakes.worker_jobs import figures_of, outcome_of

NODES = ("plan", "act")


def _results(*outcomes):
    return {outcome.group.key: (outcome, figures_of(outcome)) for outcome in outcomes}


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ({"00": 0.4, "01": 0.5, "00_01": 0.45}, "01"),
        ({"00_01": 0.5, "01": 0.5}, "01"),
        ({"01": 0.5, "00": 0.5}, "00"),
        ({"00": 0.50001, "01": 0.5}, "00"),
        ({"00": 0.0}, "00"),
    ],
    ids=["highest", "smaller-of-equals", "earlier-of-equals", "beyond-four-digits", "nothing-won"],
)
def test_the_best_is_chosen_by_validation_score(scores, best):
    found = best_of(_results(*(outcome_of(key, score) for key, score in scores.items())))
    assert (found.group, found.score) == (best, f"{scores[best]:.4f}")


@pytest.mark.parametrize(
    ("held_out", "baseline", "improvement"),
    [
        ((0.5, 0.7), (0.5, 0.5), "0.1000"),
        ((0.4,), (0.6,), "-0.2000"),
        ((0.5,), (0.50001,), "0.0000"),
        ((), (0.5,), None),
        ((0.5,), (), None),
    ],
    ids=["better", "worse", "no-negative-zero", "not-scored", "no-baseline"],
)
def test_the_improvement_is_one_of_held_out_scores(held_out, baseline, improvement):
    found = best_of(_results(outcome_of("00", 0.9, held_out=held_out, baseline=baseline)))
    assert found.improvement == improvement
    assert (found.held_out is None) == (not held_out)


def test_a_high_held_out_score_does_not_make_a_best():
    low = outcome_of("00", 0.4, held_out=(1.0,), baseline=(0.1,))
    high = outcome_of("01", 0.5, held_out=(0.2,), baseline=(0.1,))
    assert best_of(_results(low, high)).group == "01"


def test_without_results_there_is_no_best():
    assert best_of({}) is None


def _scored(plan, act, both, baseline=0.2):
    return _results(
        *(
            outcome_of(key, 0.5, held_out=(score,) * 4, baseline=(baseline,) * 4)
            for key, score in (("00", plan), ("01", act), ("00_01", both))
        )
    )


@pytest.mark.parametrize(
    ("scores", "values"),
    [
        ((0.4, 0.3, 0.5), ("0.2000", "0.1000")),
        ((0.2, 0.2, 0.6), ("0.2000", "0.2000")),
        ((0.1, 0.2, 0.1), ("-0.1000", "0.0000")),
    ],
    ids=["sum", "together-only", "harm"],
)
def test_the_gain_is_shared_among_the_nodes(scores, values):
    found = attribution_of(NODES, _scored(*scores), seed=1)
    assert [one.node for one in found] == list(NODES)
    assert tuple(one.value for one in found) == values
    # All records say the same, so there is nothing to be unsure of.
    assert all(one.low == one.value == one.high for one in found)


@pytest.mark.parametrize("missing", ["00", "01", "00_01"])
def test_a_group_that_is_missing_leaves_nothing_to_share(missing):
    results = _scored(0.4, 0.3, 0.5)
    del results[missing]
    assert attribution_of(NODES, results, seed=1) == []


def test_groups_without_held_out_scores_leave_nothing_to_share():
    assert attribution_of(NODES, _results(*map(outcome_of, ("00", "01", "00_01"))), seed=1) == []
