"""Stage 63: what training each node was worth, as Shapley values of the held-out scores.

The value of a subset of nodes is its best program's mean held-out score, that of the empty subset
the baseline's (Shapley, 1953). The value is linear in the records, so it is taken per record and
the interval comes from a paired bootstrap over records (Efron, 1979).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
_ROUNDING = 1e-9
"""Sums of equal scores differ by less; that is no effect."""
_CHUNK = 250
"""Resamples at once: bounds memory to 250 weights per record."""


@dataclass(frozen=True, slots=True)
class NodeAttribution:
    """What training one node was worth.

    Attributes:
        node: The node.
        value: Its Shapley value, on the scale of scores; all nodes' values sum to the gain of the
            full group over the baseline.
        low: Lower end of the 95 % interval.
        high: Upper end.
    """

    node: str
    value: float
    low: float
    high: float

    @property
    def evidence(self) -> bool:
        """Whether the interval excludes 0; otherwise there is no evidence of an effect."""
        return self.low > _ROUNDING or self.high < -_ROUNDING


def attribute(
    nodes: Sequence[str],
    baseline: Sequence[float],
    held_out: Mapping[frozenset[str], Sequence[float]],
    *,
    seed: int = 42,
    resamples: int = RESAMPLES,
) -> tuple[NodeAttribution, ...] | None:
    """Splits the gain over the baseline among the nodes.

    Args:
        nodes: The cascade's nodes, at most 6.
        baseline: The spec's own program's held-out scores, one per record.
        held_out: Nodes of a group -> held-out scores of its best program, the same records.
        seed: Of the bootstrap.
        resamples: Bootstrap resamples.

    Returns:
        One attribution per node; None where a subset did not finish or there are no records.

    Raises:
        ValueError: The score vectors differ in length.
    """
    values = _values(nodes, baseline, held_out)
    if values is None:
        return None
    per_record = _shapley_weights(len(nodes)) @ values  # f64 [nodes, records]
    means = per_record.mean(axis=1)
    resampled = _resampled_means(per_record, seed, resamples)
    low, high = np.percentile(resampled, [2.5, 97.5], axis=0)
    return tuple(
        NodeAttribution(node, float(means[i]), float(low[i]), float(high[i]))
        for i, node in enumerate(nodes)
    )


def _values(
    nodes: Sequence[str],
    baseline: Sequence[float],
    held_out: Mapping[frozenset[str], Sequence[float]],
) -> NDArray[np.float64] | None:
    """Scores per subset and record, f64 [2**nodes, records]; bit i of a row's index is node i."""
    rows: list[Sequence[float]] = [baseline]
    for mask in range(1, 2 ** len(nodes)):
        subset = frozenset(node for i, node in enumerate(nodes) if mask >> i & 1)
        scores = held_out.get(subset)
        if scores is None:
            return None
        rows.append(scores)
    if {len(row) for row in rows} != {len(baseline)}:
        raise ValueError("every subset needs one held-out score per record")
    return np.asarray(rows, dtype=np.float64) if len(baseline) else None


def _shapley_weights(count: int) -> NDArray[np.float64]:
    """Weights f64 [nodes, 2**nodes] that turn subset values into Shapley values."""
    weights = np.zeros((count, 2**count))
    for mask in range(2**count):
        size = mask.bit_count()
        for node in range(count):
            if mask >> node & 1:  # the subset with the node in it; the others are of size - 1
                factor = math.factorial(size - 1) * math.factorial(count - size)
                weight = factor / math.factorial(count)
                weights[node, mask] += weight
                weights[node, mask ^ (1 << node)] -= weight
    return weights


def _resampled_means(
    per_record: NDArray[np.float64], seed: int, resamples: int
) -> NDArray[np.float64]:
    """Means over resampled records, f64 [resamples, nodes]; the same resample for every node."""
    records = per_record.shape[1]
    generator = np.random.default_rng(seed)
    chances = np.full(records, 1.0 / records)
    means = []
    for begin in range(0, resamples, _CHUNK):
        count = min(_CHUNK, resamples - begin)
        times = generator.multinomial(records, chances, size=count)
        means.append(times @ per_record.T / records)
    return np.concatenate(means)
