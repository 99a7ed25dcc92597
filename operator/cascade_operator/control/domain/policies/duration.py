"""Duration (82): what is left of ``budget.maxDuration`` when a Job is created.

The worker stops itself with a result when its seconds are over. A group that the deadline finds
waiting is still created, with zero seconds: it scores its baseline, ends with ``DeadlineExceeded``
and thus stands in status and archives as what it is, instead of as a failure it never had.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

GRACE_SECONDS: Final = 600
"""From a worker's own end to ``activeDeadlineSeconds``, which is only a backstop."""


def seconds_left(start: datetime, now: datetime, most: float, paused: float = 0.0) -> int:
    """Whole seconds a Job created now may take, 0 at least.

    Args:
        start: When the run started.
        now: The time of the decision.
        most: ``budget.maxDuration`` in seconds.
        paused: Seconds that do not count.
    """
    used = (now - start).total_seconds() - paused
    return max(0, int(most - max(0.0, used)))


def active_deadline_seconds(left: int) -> int:
    """The Job's ``activeDeadlineSeconds``."""
    return left + GRACE_SECONDS
