"""Publishing (58): whether a run's best program goes to the session's ConfigMap."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from cascade_operator.api.published import MAX_PUBLISHED_BYTES
from cascade_operator.api.status import BestStatus, ProgramStatus


class PublishReason(StrEnum):
    """What came of a run's best program. A stable contract, as the reasons of conditions are."""

    PUBLISHED = "Published"
    SKIPPED = "PublishSkipped"
    CONFLICT = "PublishConflict"
    UNAVAILABLE = "PublishUnavailable"


@dataclass(frozen=True, slots=True)
class Hindrance:
    """Why a program is not published.

    Attributes:
        reason: ``PublishSkipped`` or ``PublishUnavailable``.
        message: Why, and what to do.
    """

    reason: PublishReason
    message: str


def hindrance(
    best: BestStatus | None,
    program: ProgramStatus | None,
    *,
    least: float,
    own_redis: bool,
) -> Hindrance | None:
    """Says why a complete run's best program is not published; None where it is.

    The improvement is that of held-out scores, which selected nothing.

    Args:
        best: The run's best group.
        program: What its last archive Job told of the best program.
        least: ``publish.minImprovement``.
        own_redis: Whether the program lies in a Redis that the session brought: the operator
            opens no connection to an address out of a session.
    """
    if best is None or best.improvement is None:
        text = "the run has no held-out improvement over the declared program"
        return Hindrance(PublishReason.SKIPPED, text)
    if Decimal(best.improvement) < Decimal(str(least)):
        text = f"improvement {best.improvement} is under publish.minImprovement {least:g}"
        return Hindrance(PublishReason.SKIPPED, text)
    lies = f"group {best.group}'s 58_program.json lies in the run's last archive"
    if own_redis:
        text = f"the session has a Redis of its own, which the operator does not read; {lies}"
        return Hindrance(PublishReason.UNAVAILABLE, text)
    if program is None or program.group != best.group:
        text = f"the archive Job's word about the best program is missing; {lies}"
        return Hindrance(PublishReason.UNAVAILABLE, text)
    if program.bytes > MAX_PUBLISHED_BYTES:
        text = f"the program has {program.bytes} bytes, over {MAX_PUBLISHED_BYTES}; {lies}"
        return Hindrance(PublishReason.SKIPPED, text)
    return None
