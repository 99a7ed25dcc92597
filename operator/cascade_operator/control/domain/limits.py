"""Memory limits as the spec gives them, in bytes."""

from __future__ import annotations

from typing import Final

from cascade_operator.api.quantity import parse_quantity
from cascade_operator.api.session import TrainingSessionSpec
from cascade_operator.control.manifests.labels import STAGE_ARCHIVE, STAGE_GROUP, STAGE_PREPARE

_MOST_BY_DEFAULT: Final = 4
"""``memory.maxPerJob`` where absent, in multiples of the stage's limit."""


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
