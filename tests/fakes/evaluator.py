"""Fakes behind the search's ports: an evaluator with a known landscape, a guard, checkpoints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cascade_operator.training.evaluation import Evaluation


def hashed(text: str) -> float:
    """A number in [0, 1) that follows from the text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


def landscape(choice: Mapping[str, int], record_id: str) -> float:
    """A score in [0, 1] that differs by program and record; higher candidates are better."""
    program = "/".join(f"{node}={index}" for node, index in sorted(choice.items()))
    quality = sum(0.06 * index for index in choice.values())
    return min(1.0, 0.3 + quality + 0.25 * hashed(f"{program}|{record_id}"))


class FakeEvaluator:
    """Scores by a function of choice and record, and notes what it was asked."""

    def __init__(
        self,
        score: Callable[[Mapping[str, int], str], float] = landscape,
        *,
        fail_at: Mapping[int, Exception] | None = None,
    ) -> None:
        self._score = score
        self._fail_at = dict(fail_at or {})
        self.asked: list[tuple[dict[str, int], tuple[str, ...]]] = []

    def evaluate(self, choice: Mapping[str, int], record_ids: Sequence[str]) -> Evaluation:
        number = len(self.asked)
        self.asked.append((dict(choice), tuple(record_ids)))
        if number in self._fail_at:
            raise self._fail_at[number]
        return Evaluation(tuple(self._score(choice, one) for one in record_ids))


class FakeGuard:
    """Raises what it is told to, at the n-th question (from 0)."""

    def __init__(self, raises: Mapping[int, Exception] | None = None) -> None:
        self._raises = dict(raises or {})
        self.questions = 0
        self.winding_up = False

    def check(self) -> None:
        number = self.questions
        self.questions += 1
        if number in self._raises:
            raise self._raises[number]

    def wind_up(self) -> None:
        self.winding_up = True


class MemoryCheckpoints:
    """A checkpoint store that keeps JSON text, as a real one does; also a proposal store."""

    def __init__(self) -> None:
        self.saved: list[str] = []

    def load(self) -> dict[str, Any] | None:
        return json.loads(self.saved[-1]) if self.saved else None

    def save(self, state: Mapping[str, Any]) -> None:
        self.saved.append(json.dumps(state, allow_nan=False))

    load_state = load
    save_state = save
