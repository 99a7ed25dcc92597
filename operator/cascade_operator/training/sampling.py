"""Stage 46: minibatches with exact inclusion probabilities, and their unbiased estimate.

A minibatch is drawn without replacement by systematic sampling with unequal probabilities
(Madow 1949) over a random order; the mean is estimated after Horvitz and Thompson (1952). Half of
the inclusion probability is uniform, so that no record's weight explodes; half follows the
posterior's spread.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

_CERTAIN = 1.0 - 1e-12


def inclusion_probabilities(spread: Vector, size: int) -> Vector:
    """Returns each record's chance to be in a minibatch.

    Args:
        spread: The posterior's spread per record, f64 [n], at least 0.
        size: Records in a minibatch, 1 to n.

    Returns:
        f64 [n] within (0, 1], which sums to ``size``.

    Raises:
        ValueError: ``size`` is out of range.
    """
    count = len(spread)
    if not 1 <= size <= count:
        raise ValueError(f"a minibatch of {size} cannot be drawn from {count} records")
    total = float(spread.sum())
    weights = np.full(count, 0.5 / count)
    weights += 0.5 * spread / total if total > 0 else 0.5 / count
    chances = np.ones(count)
    free = np.ones(count, dtype=bool)
    # A record whose share exceeds 1 is certain; what it cannot use goes to the others, which may
    # make another one certain.
    while free.any():
        left = size - int((~free).sum())
        chances[free] = left * weights[free] / weights[free].sum()
        over = free & (chances >= _CERTAIN)
        if not over.any():
            break
        chances[over] = 1.0
        free &= ~over
    return chances


def systematic(chances: Vector, order: Sequence[int], start: float) -> tuple[int, ...]:
    """Draws one systematic sample.

    Args:
        chances: Inclusion probabilities, f64 [n], with a whole sum.
        order: The records' order along the line.
        start: Uniform in [0, 1).

    Returns:
        The drawn rows, ascending.
    """
    certain = [row for row in order if chances[row] >= 1.0]
    line = [row for row in order if chances[row] < 1.0]
    points = round(float(chances.sum())) - len(certain)
    if points <= 0:
        return tuple(sorted(certain))
    ends = np.cumsum(chances[line])
    ends *= points / ends[-1]  # the last end is exact, so rounding never loses a point
    drawn = np.searchsorted(ends, start + np.arange(points), side="right")
    return tuple(sorted(certain + [line[min(i, len(line) - 1)] for i in drawn.tolist()]))


def draw(chances: Vector, seed: int) -> tuple[int, ...]:
    """Draws a minibatch: rows in ascending order, the same for the same seed."""
    generator = random.Random(seed)
    order = list(range(len(chances)))
    generator.shuffle(order)
    return systematic(chances, order, generator.random())


def horvitz_thompson_mean(values: Sequence[float], chances: Sequence[float], total: int) -> float:
    """Estimates a population's mean from a sample drawn with unequal probabilities.

    Args:
        values: One value per drawn record.
        chances: Its inclusion probability.
        total: Records in the population.
    """
    return sum(value / chance for value, chance in zip(values, chances, strict=True)) / total
