"""How far a mean over records may be off: percentile bootstrap over the records (Efron, 1979)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from cascade_operator.report.model import Interval

RESAMPLES: Final = 2000
_CHUNK: Final = 250
_MOST_WEIGHTS: Final = 20_000_000
"""Resamples times records: of very many records fewer resamples do, and take no minute."""


def intervals(scores: Mapping[str, Sequence[float]], *, seed: int = 42) -> dict[str, Interval]:
    """Returns the mean and 95 % interval of each of some score vectors.

    Vectors of one length are taken to be of the same records and resampled together, so that a
    difference of two is paired.

    Args:
        scores: Name -> one score a record; an empty vector is left out.
        seed: Of the resampling.
    """
    by_length: dict[int, list[str]] = {}
    for name, vector in scores.items():
        if len(vector):
            by_length.setdefault(len(vector), []).append(name)
    found: dict[str, Interval] = {}
    for length, names in by_length.items():
        matrix = np.asarray([scores[name] for name in names], dtype=np.float64).T
        means = _resampled_means(matrix, seed, max(200, min(RESAMPLES, _MOST_WEIGHTS // length)))
        low, high = np.percentile(means, [2.5, 97.5], axis=0)
        for i, name in enumerate(names):
            found[name] = Interval(float(matrix[:, i].mean()), float(low[i]), float(high[i]))
    return found


def _resampled_means(matrix: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """Means f64 [resamples, vectors] of a matrix [records, vectors]."""
    records = matrix.shape[0]
    generator = np.random.default_rng(seed)
    chances = np.full(records, 1.0 / records)
    means = []
    for begin in range(0, resamples, _CHUNK):
        times = generator.multinomial(records, chances, size=min(_CHUNK, resamples - begin))
        means.append(times @ matrix / records)
    return np.concatenate(means)
