"""Kubernetes quantities as bytes (or cores), and durations as seconds."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal
from typing import Final

_SCALES: Final[dict[str, Decimal]] = {
    "n": Decimal(1).scaleb(-9),
    "u": Decimal(1).scaleb(-6),
    "m": Decimal(1).scaleb(-3),
    "": Decimal(1),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}
_BINARY: Final = ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki")

# The same texts as the CRD's patterns: what one side takes, the other takes.
QUANTITY_PATTERN: Final = r"^[0-9]{1,15}(\.[0-9]{1,6})?([numkMGTPE]|[KMGTPE]i)?$"
DURATION_PATTERN: Final = r"^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?$"

_QUANTITY: Final = re.compile(
    r"(?P<number>[0-9]{1,15}(?:\.[0-9]{1,6})?)(?P<scale>[numkMGTPE]|[KMGTPE]i)?", re.ASCII
)
_DURATION: Final = re.compile(
    r"(?:(?P<h>[0-9]{1,6})h)?(?:(?P<m>[0-9]{1,6})m)?(?:(?P<s>[0-9]{1,8})s)?", re.ASCII
)


def parse_decimal(text: str) -> Decimal:
    """Returns a Kubernetes quantity as an exact number: ``500m`` is 0.5, ``1Ki`` is 1024.

    Raises:
        ValueError: The text is not a quantity.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is not a quantity such as 512Mi, 1.5Gi or 500m")
    return Decimal(match["number"]) * _SCALES[match["scale"] or ""]


def parse_quantity(text: str) -> int:
    """Returns a Kubernetes quantity in whole units (bytes for memory), rounded up.

    Raises:
        ValueError: The text is not a quantity.
    """
    return int(parse_decimal(text).to_integral_value(rounding=ROUND_CEILING))


def format_quantity(value: int) -> str:
    """Returns the shortest exact quantity with a binary suffix: 1610612736 is ``1536Mi``.

    Raises:
        ValueError: The value is negative.
    """
    if value < 0:
        raise ValueError(f"a quantity is not negative: {value}")
    for suffix in _BINARY:
        scale = int(_SCALES[suffix])
        if value and value % scale == 0:
            return f"{value // scale}{suffix}"
    return str(value)


def parse_duration(text: str) -> float:
    """Returns a duration such as ``24h``, ``90s`` or ``1h30m`` in seconds.

    Raises:
        ValueError: The text is not a duration.
    """
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        raise ValueError(f"{text[:40]!r} is not a duration such as 24h, 90s or 1h30m")
    hours, minutes, seconds = (int(match[unit] or 0) for unit in "hms")
    return float(hours * 3600 + minutes * 60 + seconds)


def format_duration(seconds: float) -> str:
    """Returns seconds as a duration, rounded to whole seconds: 5400 is ``1h30m``.

    Raises:
        ValueError: The number is negative or not finite.
    """
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"a duration is finite and not negative: {seconds}")
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{n}{unit}" for n, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if n]
    return "".join(parts) or "0s"
