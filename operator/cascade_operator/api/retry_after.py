"""What a server's Retry-After asks for: seconds, or a date; bounded, whatever it says. Pure."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Final

RETRY_AFTER_LIMIT: Final = 60.0
"""Seconds of a Retry-After that are honoured."""


def retry_after_seconds(value: str | None, now: float) -> float | None:
    """Returns the seconds to wait, 0 to 60; None where the header says nothing that can be read.

    Args:
        value: The header's value (RFC 9110, section 10.2.3); None where there is none.
        now: Seconds since the epoch, for a date.
    """
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - now
        except (TypeError, ValueError, OverflowError):
            return None
    # Written so that NaN, which compares false, asks for no wait.
    return min(seconds, RETRY_AFTER_LIMIT) if seconds > 0 else 0.0
