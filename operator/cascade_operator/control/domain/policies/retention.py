"""Retention (82): when the Jobs and the ConfigMap of a run that is over are deleted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


def expiry(run: int, ends: Mapping[int, datetime], ttl: float, *, current: int) -> datetime | None:
    """When the children of a run may go; None while it is under way.

    Archives and history stay. A run whose end nobody remembers has outlived its time.

    Args:
        run: The run's number.
        ends: When runs ended, as far as status knows it.
        ttl: ``ttlSecondsAfterFinished``.
        current: The number of the current or last run.
    """
    if run in ends:
        return ends[run] + timedelta(seconds=ttl)
    return LONG_AGO if run < current else None
