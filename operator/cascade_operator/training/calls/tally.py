"""What one node's run took: whoever keeps its outcome knows what the next use of it spares."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Tally:
    """Logical calls and their tokens, in and out."""

    calls: int = 0
    tokens: int = 0


_current: ContextVar[Tally | None] = ContextVar("cascade_tally", default=None)


@contextmanager
def tallied() -> Iterator[Tally]:
    """Counts the calls that the block makes in this thread."""
    tally = Tally()
    token = _current.set(tally)
    try:
        yield tally
    finally:
        _current.reset(token)


def count_call(tokens: int) -> None:
    """Adds one answered call, however it was answered."""
    tally = _current.get()
    if tally is not None:
        tally.calls += 1
        tally.tokens += tokens
