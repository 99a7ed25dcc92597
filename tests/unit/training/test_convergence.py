from __future__ import annotations

from collections.abc import Sequence

import pytest

from cascade_operator.training.convergence import converged
from cascade_operator.training.trial import Origin, Trial


def trials(scores: Sequence[float], minibatch: Sequence[int] = ()) -> list[Trial]:
    """One distinct program per score; those at ``minibatch`` were only estimated."""
    return [
        Trial(n, (n,), Origin.SAMPLER, (0,) if n in minibatch else None, (score,), score)
        for n, score in enumerate(scores)
    ]


FLAT = [0.5] * 12


@pytest.mark.parametrize(
    ("scores", "patience", "expected"),
    [
        pytest.param(FLAT, 10, True, id="flat for ten programs, two of them after the first ten"),
        pytest.param(FLAT[:11], 10, False, id="only one program after the first ten"),
        pytest.param(FLAT, 2, True, id="a short patience still waits for the first ten"),
        pytest.param(FLAT[:11], 2, False, id="a short patience does not end before"),
        pytest.param(FLAT, 12, False, id="nothing before the window to compare with"),
        pytest.param([*FLAT, 0.6], 10, False, id="an improvement in the window"),
        pytest.param([*FLAT, 0.5009], 10, True, id="an improvement below the threshold"),
        pytest.param([0.5, 0.6, *FLAT[:10]], 10, True, id="the improvement came before"),
        pytest.param([0.5, 0.5, 0.6, *FLAT[:9]], 10, False, id="the improvement is in the window"),
    ],
)
def test_whole_split_scores(scores: list[float], patience: int, expected: bool) -> None:
    assert converged(trials(scores), threshold=0.001, patience=patience) is expected


def test_a_threshold_of_0_never_converges_by_an_equal_score() -> None:
    assert not converged(trials(FLAT), threshold=0.0, patience=10)


def test_estimates_neither_improve_nor_converge() -> None:
    estimated = trials([0.5] + [0.9] * 14, minibatch=range(1, 15))
    assert not converged(estimated, threshold=0.001, patience=10)


def test_with_minibatches_two_whole_scorings_after_the_first_ten_are_needed() -> None:
    base = trials([0.5] * 15, minibatch=range(1, 15))
    one = [*base, Trial(15, (3,), Origin.WHOLE, None, (0.5,), 0.5)]
    two = [*one, Trial(16, (4,), Origin.WHOLE, None, (0.5,), 0.5)]
    assert not converged(one, threshold=0.001, patience=10)
    assert converged(two, threshold=0.001, patience=10)


def test_programs_count_once_however_often_they_are_scored() -> None:
    again = [Trial(n, (0,), Origin.WHOLE, None, (0.5,), 0.5) for n in range(30)]
    assert not converged(again, threshold=0.001, patience=5)
