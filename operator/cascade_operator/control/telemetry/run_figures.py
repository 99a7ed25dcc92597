"""What happened between two statuses of a session, in figures. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from cascade_operator.api.quantity import parse_quantity
from cascade_operator.api.status import (
    ConditionType,
    GroupStatus,
    Phase,
    ProgressStatus,
    StageStatus,
    TrainingSessionStatus,
)
from cascade_operator.control.domain.model import Event
from cascade_operator.control.domain.policies.retry import OOM_KILLED
from cascade_operator.control.domain.run_start import REPLACED

FINISHED: Final = (str(Phase.COMPLETE), str(Phase.FAILED), REPLACED)
"""How a run may end."""


@dataclass(frozen=True, slots=True)
class Transition:
    """The figures of one status write.

    Attributes:
        model_calls: Calls that a server answered.
        tokens: Tokens sent and received.
        cache_hits: Calls that the shared cache answered.
        oom_kills: Attempts that the kernel killed.
        escalations: Stages and groups whose limit was raised.
        finished: How each run ended that did.
    """

    model_calls: int
    tokens: int
    cache_hits: int
    oom_kills: int
    escalations: int
    finished: tuple[str, ...]


def transition(
    before: TrainingSessionStatus, after: TrainingSessionStatus, events: Sequence[Event]
) -> Transition:
    """Compares two statuses that followed one another.

    A run's figures never fall; a new run's start from 0. An OOM kill is told by its event: the
    next attempt may start in the same step, and then the status no longer says why the last ended.
    """
    same = _same_run(before, after)
    old = before.progress if same and before.progress is not None else ProgressStatus()
    new = after.progress or ProgressStatus()
    return Transition(
        model_calls=max(0, new.model_calls - old.model_calls),
        tokens=max(0, new.tokens - old.tokens),
        cache_hits=max(0, new.cache_hits - old.cache_hits),
        oom_kills=sum(event.reason == OOM_KILLED for event in events),
        escalations=_escalations(before, after) if same else 0,
        finished=tuple(_finished(before, after)),
    )


def _same_run(before: TrainingSessionStatus, after: TrainingSessionStatus) -> bool:
    return (
        before.run is not None and after.run is not None and before.run.number == after.run.number
    )


def _escalations(before: TrainingSessionStatus, after: TrainingSessionStatus) -> int:
    old = dict(_limits(before))
    return sum(name in old and limit > old[name] for name, limit in _limits(after))


def _limits(status: TrainingSessionStatus) -> Iterator[tuple[str, int]]:
    """Limits in bytes by stage and group; the slash keeps a stage apart from a group's key."""
    parts: list[tuple[str, StageStatus | GroupStatus]] = [
        (group.name, group) for group in status.groups
    ]
    if status.run is not None:
        parts += [("/prepare", status.run.prepare), ("/archive", status.run.archive)]
    for name, part in parts:
        # Whoever may edit a status may write there what is no quantity.
        with suppress(ValueError):
            yield name, parse_quantity(part.memory_limit)


def _finished(before: TrainingSessionStatus, after: TrainingSessionStatus) -> Iterator[str]:
    open_before = before.run is not None and before.run.completion_time is None
    if open_before and not _same_run(before, after) and after.run is not None:
        yield REPLACED
    if after.run is None or after.run.completion_time is None:
        return
    if _same_run(before, after) and not open_before:
        return
    complete = any(
        c.type is ConditionType.COMPLETE and c.status == "True" for c in after.conditions
    )
    yield str(Phase.COMPLETE if complete else Phase.FAILED)
