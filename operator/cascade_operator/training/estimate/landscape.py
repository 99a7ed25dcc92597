"""Scores that nobody measured, and a cheap sampler: enough to make a search go its way.

A program's score on a record is the record's ease, what each candidate adds, and noise that goes
with the program and the record. All of it follows from the seed, so that an estimate can be made
again.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cascade_operator.training.sampler import STARTUP_PROGRAMS
from cascade_operator.training.space import Program, ProgramSpace

CANDIDATE_SPREAD = 0.05
"""How much better or worse a candidate makes a score, as a standard deviation."""
NOISE = 0.15
_STAY = 0.7
"""Chance that a node of a good program keeps its candidate in the next suggestion."""

Scores = NDArray[np.float64]


class Landscape:
    """Scores of programs on one split.

    Args:
        seed: Of everything in it.
        records: Records of the split.
    """

    def __init__(self, seed: int, records: int) -> None:
        self._seed = seed
        self._ease = np.random.default_rng([seed, 1]).uniform(0.3, 0.9, records)

    def scores(self, choice: Sequence[int]) -> Scores:
        """Returns a program's scores: float64 ``[records]`` in [0, 1].

        Args:
            choice: A candidate index for every node of the cascade.
        """
        added = sum(self._worth(place, index) for place, index in enumerate(choice) if index)
        noise = np.random.default_rng([self._seed, 2, *choice]).normal(0, NOISE, len(self._ease))
        return np.clip(self._ease + added + noise, 0.0, 1.0)

    def _worth(self, place: int, index: int) -> float:
        key = zlib.crc32(f"{self._seed}:{place}:{index}".encode())
        return random.Random(key).gauss(0.0, CANDIDATE_SPREAD)


def cheap_suggest(space: ProgramSpace, tried: Mapping[Program, float], seed: int) -> Program:
    """Stands in for the estimator of ``training.sampler``: near the best, without its cost.

    The real one takes milliseconds a trial; here one of the best quarter is varied.
    """
    generator = random.Random(seed)
    best: Program = ()
    if len(tried) >= STARTUP_PROGRAMS:
        ranked = sorted(tried, key=lambda program: -tried[program])
        best = generator.choice(ranked[: max(1, len(ranked) // 4)])
    return tuple(
        best[place] if best and generator.random() < _STAY else generator.randrange(count)
        for place, count in enumerate(space.counts)
    )
