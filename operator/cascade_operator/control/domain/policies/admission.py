"""Admission (81): which waiting Jobs may start within ``parallelism`` and ``memory.budget``.

A Job counts with its memory limit until its pod has ended, whatever its stage: preparing and
archiving take their share of the budget like any group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Request:
    """A Job that wants to start.

    Attributes:
        name: What the caller knows it by.
        memory: Its limit in bytes.
        urgent: Nothing behind it is admitted while it has to wait (a due archive).
    """

    name: str
    memory: int
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer.

    Attributes:
        admitted: Names that may start now, in the order asked.
        short_of_memory: Names that a free slot could take but the memory budget could not.
    """

    admitted: tuple[str, ...]
    short_of_memory: tuple[str, ...]


def admit(
    requests: Sequence[Request],
    running: Mapping[str, int],
    *,
    parallelism: int,
    budget: int | None,
) -> Admission:
    """Admits requests in order.

    One that does not fit the budget is passed over, not waited for: a run has finitely many groups,
    so a large one cannot be starved by small ones for ever, and the memory is put to use meanwhile.

    Args:
        requests: The most important first.
        running: Limits in bytes of the Jobs that have not ended, by name.
        parallelism: Jobs at once.
        budget: Sum of limits in bytes; None for no bound.
    """
    slots = parallelism - len(running)
    left = None if budget is None else budget - sum(running.values())
    admitted: list[str] = []
    short: list[str] = []
    for request in requests:
        if slots <= 0:
            break
        if left is None or request.memory <= left:
            admitted.append(request.name)
            slots -= 1
            left = None if left is None else left - request.memory
        else:
            short.append(request.name)
            if request.urgent:
                break
    return Admission(tuple(admitted), tuple(short))
