"""Trials of a node group: one program scored on a minibatch or on the whole validation split."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cascade_operator.training.space import Program


class Origin(StrEnum):
    """Why a program was tried."""

    BASELINE = "baseline"
    ARCHIVED = "archived"
    LATTICE = "lattice"
    SAMPLER = "sampler"
    UNTRIED = "untried"
    """The sampler repeated itself; this is the next program that was not tried."""
    WHOLE = "whole"
    """The best by estimate, scored again on the whole split."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One finished trial.

    Attributes:
        number: From 0, the baseline.
        program: Candidate index per node of the group.
        origin: Why it was tried.
        rows: Positions in the validation split that were scored, ascending; None for all.
        scores: One score in [0, 1] per scored record.
        score: The mean over the whole split, or its estimate from a minibatch.
        parse_failures: Records whose answer could not be read (they scored 0).
    """

    number: int
    program: Program
    origin: Origin
    rows: tuple[int, ...] | None
    scores: tuple[float, ...]
    score: float
    parse_failures: int = 0

    @property
    def whole(self) -> bool:
        """Whether it was scored on the whole validation split; only such trials select."""
        return self.rows is None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, exact to the bit."""
        return {
            "number": self.number,
            "program": list(self.program),
            "origin": self.origin.value,
            "rows": None if self.rows is None else list(self.rows),
            "scores": list(self.scores),
            "score": self.score,
            "parseFailures": self.parse_failures,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Trial:
        """Reads what ``to_json`` wrote.

        Raises:
            ValueError: It is not a trial.
        """
        try:
            rows = data["rows"]
            trial = cls(
                number=whole_number(data["number"]),
                program=tuple(whole_number(i) for i in data["program"]),
                origin=Origin(data["origin"]),
                rows=None if rows is None else tuple(whole_number(row) for row in rows),
                scores=tuple(finite_number(score) for score in data["scores"]),
                score=finite_number(data["score"]),
                parse_failures=whole_number(data["parseFailures"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError("not a trial") from error
        if trial.rows is not None and len(trial.rows) != len(trial.scores):
            raise ValueError("a trial needs one score per row")
        return trial


def whole_number(value: Any) -> int:
    """Returns a count as read from JSON.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{str(value)[:40]!r} is no count")
    return value


def finite_number(value: Any) -> float:
    """Returns a finite number as read from JSON.

    Raises:
        ValueError: It is none.
    """
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    except OverflowError:  # a whole number of hundreds of digits
        pass
    raise ValueError(f"{str(value)[:40]!r} is no finite number")
