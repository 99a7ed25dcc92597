"""Stage 48: the posterior over traces, one Beta distribution per validation record.

A trial that scores a record with ``s`` in [0, 1] counts ``1 - s`` as loss and ``s`` as gain, so
the mean of ``Beta(1 + losses, 1 + gains)`` is the chance that a program of this group loses on
the record, and ``sqrt(m (1 - m))`` is large where programs still disagree. Records that every
program solves, or none, teach the search little; a minibatch draws them less often.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

MAX_COUNT = 1e9
"""The largest count that is read: far beyond it a mean is no longer told from 0 or 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """Beta distributions of a node group, in the order of its validation split.

    Attributes:
        losses: Sum of losses per record, f64 [n], at least 0.
        gains: Sum of gains per record, f64 [n], at least 0.
    """

    losses: Vector
    gains: Vector

    @classmethod
    def uniform(cls, size: int) -> Posterior:
        """Beta(1, 1) for each of ``size`` records: nothing is known."""
        return cls(np.zeros(size), np.zeros(size))

    def __len__(self) -> int:
        return len(self.losses)

    @property
    def mean(self) -> Vector:
        """The expected loss rate per record, f64 [n] within (0, 1)."""
        return (1.0 + self.losses) / (2.0 + self.losses + self.gains)

    @property
    def spread(self) -> Vector:
        """``sqrt(m (1 - m))`` per record, f64 [n] within (0, 0.5]."""
        mean = self.mean
        return np.sqrt(mean * (1.0 - mean))

    def observe(self, rows: Sequence[int], scores: Sequence[float]) -> Posterior:
        """Returns the posterior after one program was scored on some records.

        Args:
            rows: Distinct positions in the validation split.
            scores: Their scores, each in [0, 1].
        """
        where = np.asarray(rows, dtype=np.intp)
        score = np.clip(np.asarray(scores, dtype=np.float64), 0.0, 1.0)
        losses, gains = self.losses.copy(), self.gains.copy()
        losses[where] += 1.0 - score
        gains[where] += score
        return Posterior(losses, gains)

    def parameters(self) -> Vector:
        """The Beta parameters (alpha, beta), f64 [n, 2]: what an archive keeps."""
        return np.stack([1.0 + self.losses, 1.0 + self.gains], axis=1)

    def to_json(self) -> dict[str, list[float]]:
        """Plain lists, exact to the bit."""
        return {"losses": self.losses.tolist(), "gains": self.gains.tolist()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Posterior:
        """Reads what ``to_json`` wrote.

        Raises:
            ValueError: The lists differ in length, or hold something else than counts.
        """
        try:
            losses = np.asarray(data["losses"], dtype=np.float64)
            gains = np.asarray(data["gains"], dtype=np.float64)
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError("not a posterior") from error
        if losses.ndim != 1 or losses.shape != gains.shape:
            raise ValueError("a posterior needs one loss and one gain per record")
        for counts in (losses, gains):
            if not np.isfinite(counts).all() or (counts < 0).any() or (counts > MAX_COUNT).any():
                raise ValueError(f"a posterior's counts are 0 to {MAX_COUNT:.0f}")
        return cls(losses, gains)


def restored(
    counts: Mapping[str, tuple[float, float]], record_ids: Sequence[str], *, cap: float = 8.0
) -> Posterior:
    """Makes a prior from an archived posterior.

    The counts are halved, because the programs that made them are not today's, and each record's
    total is capped, so that a long history never drowns what this run sees.

    Args:
        counts: Record id to (losses, gains) as archived.
        record_ids: The validation split of this run, in order; unknown records start uniform.
        cap: Highest total count a record may start with.
    """
    prior = Posterior.uniform(len(record_ids))
    for row, record_id in enumerate(record_ids):
        losses, gains = counts.get(record_id, (0.0, 0.0))
        total = losses + gains
        if not (np.isfinite(total) and losses >= 0 and gains >= 0 and total > 0):
            continue
        scale = min(0.5, cap / total)
        prior.losses[row], prior.gains[row] = losses * scale, gains * scale
    return prior
