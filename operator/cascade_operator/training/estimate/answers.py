"""Answers that nobody gave: numbers for what nodes would read and write.

Two prompts are one call where their numbers are equal. Whether a node answers alike although its
prompt differs is drawn, by a hash: with the chance ``agreement`` it gives the record's usual
answer, else one of its own. Agreement 0 makes every answer its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from cascade_operator.api.canonical import canonical_json
from cascade_operator.api.cascade import CascadeSpec
from cascade_operator.api.fieldtypes import Choice, Scalar
from cascade_operator.training.estimate.flow import Ids, NodeFlow

LIKENESS: Final = 120.0
"""Characters of an answer over which the chance that two answers agree falls to a third."""
CLOSED: Final = 0.8
"""The least agreement of a node that only chooses: one of a few values, a flag."""

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_A: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B: Final = np.uint64(0x94D049BB133111EB)


def agreements(
    cascade: CascadeSpec, outputs: Sequence[Mapping[str, Mapping[str, Any]]]
) -> dict[str, float]:
    """Returns how often each node is taken to answer alike, from what it wrote in the traces.

    Args:
        cascade: The cascade.
        outputs: Of some records: node name -> the fields it wrote.

    Returns:
        Node name -> chance: ``exp(-characters / 120)`` of its mean recorded answer.
    """
    found = {}
    for node in cascade.nodes:
        sizes = [len(canonical_json(one.get(node.name, {}))) for one in outputs]
        mean = sum(sizes) / len(sizes) if sizes else LIKENESS
        chance = math.exp(-mean / LIKENESS)
        closed = all(
            isinstance(field.type, Choice)
            or (isinstance(field.type, Scalar) and field.type.name == "bool")
            for field in node.parsed.outputs
        )
        found[node.name] = max(chance, CLOSED) if closed else chance
    return found


class Answers:
    """What nodes read and write on one set of records, for any choice of candidates.

    Args:
        flows: The nodes.
        given: What each record gives each node: one array a node (``flow.given_ids``).
        agreement: One chance a node.
    """

    def __init__(
        self, flows: Sequence[NodeFlow], given: Sequence[Ids], agreement: Sequence[float]
    ) -> None:
        self._flows = flows
        self._given = given
        self._agreement = agreement
        self._asked: dict[tuple[int, tuple[int, ...]], Ids] = {}
        self._written: dict[tuple[int, tuple[int, ...]], Ids] = {}

    def asked(self, place: int, choice: Sequence[int]) -> Ids:
        """Returns what tells a node's prompts apart: uint64 ``[records]``.

        Args:
            place: The node's position.
            choice: A candidate index for every node of the cascade.
        """
        key = self._key(place, choice)
        known = self._asked.get(key)
        if known is None:
            flow = self._flows[place]
            known = _mixed(self._given[place] + _salt(place + 1))
            known = _mixed(known ^ _salt(1_000 + choice[place]))
            for source in flow.sources:
                known = _mixed(known ^ (self.written(source, choice) * _GOLDEN))
            self._asked[key] = known
        return known

    def written(self, place: int, choice: Sequence[int]) -> Ids:
        """Returns what tells a node's answers apart: uint64 ``[records]``; see ``asked``."""
        key = self._key(place, choice)
        known = self._written.get(key)
        if known is None:
            own = _mixed(self.asked(place, choice) ^ _salt(2_000))
            # The usual answer goes with what the trace gave to this node and to those before it.
            usual = _salt(3_000 + place) + np.zeros_like(own)
            for at in self._flows[place].closure:
                usual = _mixed(usual ^ self._given[at])
            chance = (_mixed(own) >> np.uint64(11)).astype(np.float64) / 2.0**53
            known = np.where(chance < self._agreement[place], usual, own)
            self._written[key] = known
        return known

    def _key(self, place: int, choice: Sequence[int]) -> tuple[int, tuple[int, ...]]:
        return place, tuple(choice[at] for at in self._flows[place].closure)


def _salt(number: int) -> np.uint64:
    return np.uint64((number * 0x9E3779B97F4A7C15) % 2**64)


def _mixed(values: Ids) -> Ids:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): a bijection that spreads bits."""
    mixed = values + _GOLDEN
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_A
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_B
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), dtype=np.uint64)
