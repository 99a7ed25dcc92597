"""What passes through the call cache: a value wanted, computed, found."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from cascade_operator.training.calls.lease import Command


@dataclass(frozen=True, slots=True)
class CacheFigures:
    """What the cache did.

    Attributes:
        hits: Answers found, in this process or in Redis.
        waits: Of these, answers another call was computing meanwhile.
        computed: Answers computed.
        refused: Writes that Redis refused (full) or that were too large for it.
        broken: Entries that could not be read, and were computed anew.
    """

    hits: int = 0
    waits: int = 0
    computed: int = 0
    refused: int = 0
    broken: int = 0


@dataclass(frozen=True, slots=True)
class Fetched:
    """A value, and whether it was there (``hit``), awaited (``wait``) or ``computed``."""

    value: bytes
    source: Literal["hit", "wait", "computed"]


class Along(Protocol):
    """Commands of the caller's that travel in the round trip that publishes a value."""

    def commands(self) -> Sequence[Command]:
        """Returns them; asked once, after the value was computed."""

    def sent(self, answers: Sequence[Any]) -> None:
        """Takes their answers, an exception where Redis refused one.

        Args:
            answers: In the order of the commands; empty where they were not sent, or nobody knows.

        Raises:
            Exception: What the caller of ``fetch`` is told instead of the value.
        """


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one caller asked for; see SingleFlightCache.fetch."""

    key: str
    compute: Callable[[], bytes]
    acceptable: Callable[[bytes], bool]
    along: Along | None


class Flight:
    """A value being computed in this process."""

    __slots__ = ("error", "landed", "value")

    def __init__(self) -> None:
        self.landed = threading.Event()
        self.value = b""
        self.error: BaseException | None = None
