"""Stage 45: scores one output against what is expected, in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cascade_operator.api.canonical import canonical_json
from cascade_operator.api.errors import SpecError
from cascade_operator.traces.validated import json_equal
from cascade_operator.training.comparison import Pair
from cascade_operator.training.custom_metric import load_custom

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts -> one vector each, f32 [n, d]; the traces' embedders' ``embed``."""

_KEPT_VECTORS = 16_384
_DECIMALS = 6
"""Servers answer a text with slightly other vectors from batch to batch; scores must not differ."""


class ScoredRecord(Protocol):
    """What a metric reads of a record (the trace store's records have it)."""

    @property
    def record_id(self) -> str: ...  # noqa: D102 - described by the class

    @property
    def outputs(self) -> Mapping[str, Mapping[str, Any]]: ...  # noqa: D102

    @property
    def validated(self) -> Mapping[str, Any]: ...  # noqa: D102


Compare = Callable[[Sequence[Pair]], list[float]]


class Metric(Protocol):
    """Scores outputs."""

    @property
    def last_node(self) -> str | None:
        """The node after which a run may end; None for the cascade's last."""
        ...

    def score_batch(
        self, records: Sequence[ScoredRecord], outputs: Sequence[Mapping[str, Any]]
    ) -> list[float]:
        """Scores each record's output in [0, 1].

        Args:
            records: The records.
            outputs: For each, every field the cascade wrote, the latest value of each name.
        """
        ...


@dataclass(frozen=True, slots=True)
class ObjectiveMetric:
    """A comparison applied at one place of the cascade.

    Attributes:
        compare: Scores pairs.
        last_node: With scope Group, the node whose recorded output is the expected one; None for
            scope EndToEnd, where the validated fields are.
    """

    compare: Compare
    last_node: str | None = None

    def score(self, record: ScoredRecord, outputs: Mapping[str, Any]) -> float:
        """Scores one output in [0, 1]."""
        return self.score_batch([record], [outputs])[0]

    def score_batch(
        self, records: Sequence[ScoredRecord], outputs: Sequence[Mapping[str, Any]]
    ) -> list[float]:
        """See Metric."""
        pairs = [self._pair(r, output) for r, output in zip(records, outputs, strict=True)]
        return self.compare(pairs) if pairs else []

    def _pair(self, record: ScoredRecord, output: Mapping[str, Any]) -> Pair:
        validated = self.last_node is None
        expected = record.validated if validated else record.outputs.get(self.last_node or "", {})
        inside = {name: output[name] for name in expected if name in output}
        return Pair(record.record_id, expected, inside, template=validated)


def exact_match(pairs: Sequence[Pair]) -> list[float]:
    """1 where the output is an accepted one, with nothing missing and nothing added, else 0."""
    return [float(json_equal(pair.resolved, pair.output)) for pair in pairs]


def json_fields(pairs: Sequence[Pair]) -> list[float]:
    """The share of expected leaves that the output meets; optional ones may be left out."""
    return [_share([leaf.met_by(pair.output) for leaf in pair.leaves]) for pair in pairs]


class Cosine:
    """max(0, cosine) of the embedded canonical JSON of both sides; equal texts score 1."""

    def __init__(self, embed: Embed) -> None:
        self._embed = embed
        self._vectors: dict[str, NDArray[np.float64]] = {}

    def __call__(self, pairs: Sequence[Pair]) -> list[float]:
        """Embeds every text that is not known yet in one call, and compares."""
        texts = [(canonical_json(pair.resolved), canonical_json(pair.output)) for pair in pairs]
        differing = [both for both in texts if both[0] != both[1]]
        vectors = self._of([text for both in differing for text in both])
        return [
            1.0 if expected == output else _cosine(vectors[expected], vectors[output])
            for expected, output in texts
        ]

    def _of(self, texts: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        if len(self._vectors) > _KEPT_VECTORS:
            self._vectors.clear()
        unknown = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        if unknown:
            embedded = np.asarray(self._embed(unknown), dtype=np.float64)
            self._vectors.update(zip(unknown, embedded, strict=True))
        return {text: self._vectors[text] for text in texts}


def make_metric(
    name: str,
    *,
    embed: Embed | None = None,
    function: str | None = None,
    group_last_node: str | None = None,
) -> ObjectiveMetric:
    """Builds the metric of an objective.

    Args:
        name: Cosine, JSONFields, ExactMatch or Custom.
        embed: Embeds texts; needed by Cosine.
        function: ``package:attr`` in the session's image; needed by Custom.
        group_last_node: With scope Group, the group's last node; None for scope EndToEnd.

    Raises:
        SpecError: The name is unknown, or the custom function cannot be loaded.
    """
    compare: Compare
    if name == "Cosine" and embed is not None:
        compare = Cosine(embed)
    elif name == "JSONFields":
        compare = json_fields
    elif name == "ExactMatch":
        compare = exact_match
    elif name == "Custom" and function is not None:
        compare = load_custom(function)
    else:
        raise SpecError(
            f"objective.metric {name} cannot be used as the session has it",
            mend="Custom needs objective.function; Cosine needs models.embedding.",
        )
    return ObjectiveMetric(compare, group_last_node)


def _share(met: Sequence[bool]) -> float:
    return sum(met) / len(met) if met else 1.0


def _cosine(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    lengths = float(np.linalg.norm(left) * np.linalg.norm(right))
    if lengths == 0.0:
        return 0.0
    return round(min(1.0, max(0.0, float(left @ right) / lengths)), _DECIMALS)
