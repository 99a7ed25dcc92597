"""Memory (75): the limit of the next attempt, and of a group's first one in the next run."""

from __future__ import annotations

import math
from typing import Final

_MIB: Final = 1024 * 1024


def escalate(limit: int, *, factor: float, most: int) -> int | None:
    """The next limit after a memory gate or an OOM kill.

    Args:
        limit: What the attempt had, in bytes.
        factor: ``memory.escalationFactor``, over 1.
        most: ``memory.maxPerJob`` in bytes.

    Returns:
        Bytes in whole MiB, more than ``limit`` and at most ``most``; None where it had the most.
    """
    if limit >= most:
        return None
    raised = math.ceil(limit * factor / _MIB) * _MIB
    return min(max(raised, limit + _MIB), most)


def first_limit(declared: int, *, last_peak: int | None, threshold: float, most: int) -> int:
    """The limit a group starts a run with.

    A group whose last peak would meet the gate at once starts where that peak lies below it; the
    declared limit is the floor, since a peak measured once is no promise.

    Args:
        declared: The stage's memory limit in bytes.
        last_peak: Peak of the same nodes' group in the last run, in bytes.
        threshold: ``memory.thresholdPercent``.
        most: ``memory.maxPerJob`` in bytes.
    """
    if not last_peak or last_peak * 100 < declared * threshold:
        return declared
    # One MiB over, so that the peak itself stays under the threshold.
    needed = (int(last_peak * 100 / (threshold * _MIB)) + 1) * _MIB
    return max(declared, min(needed, most))
