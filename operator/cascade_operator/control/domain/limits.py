"""Memory limits as the spec gives them, in bytes."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from cascade_operator.api.quantity import parse_quantity
from cascade_operator.api.session import TrainingSessionSpec
from cascade_operator.control.domain.draft import Part, Situation
from cascade_operator.control.manifests.labels import STAGE_ARCHIVE, STAGE_GROUP, STAGE_PREPARE

_MOST_BY_DEFAULT: Final = 4
"""``memory.maxPerJob`` where absent, in multiples of the stage's limit."""


@lru_cache(maxsize=1024)
def bytes_of(text: str) -> int:
    """A quantity that stands in status; 0 where there is none, or none that can be read."""
    try:
        return parse_quantity(text) if text else 0
    except ValueError:
        return 0


def memory_of(part: Part, stage: str, situation: Situation) -> int:
    """The limit in bytes of a part's current or next attempt."""
    return bytes_of(part.memory_limit) or declared_limit(situation.spec, stage)


def declared_limit(spec: TrainingSessionSpec, stage: str) -> int:
    """The limit a stage's first attempt has."""
    resources = {
        STAGE_PREPARE: spec.resources.prepare,
        STAGE_GROUP: spec.resources.group,
        STAGE_ARCHIVE: spec.resources.archive,
    }[stage]
    return parse_quantity(resources.limits.memory)


def memory_budget(spec: TrainingSessionSpec) -> int | None:
    """The sum of the limits of Jobs that run at once; None for no bound."""
    return parse_quantity(spec.memory.budget) if spec.memory.budget else None


def most_per_job(spec: TrainingSessionSpec, stage: str) -> int:
    """The highest limit a Job of the stage may be raised to.

    The default of four times the limit yields to the budget: a Job over it could never start.
    """
    if spec.memory.max_per_job:
        most = parse_quantity(spec.memory.max_per_job)
    else:
        most = _MOST_BY_DEFAULT * declared_limit(spec, stage)
    budget = memory_budget(spec)
    return most if budget is None else min(most, budget)
