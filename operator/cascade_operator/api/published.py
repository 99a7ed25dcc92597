"""A program on its way from a run's last archive Job to the ConfigMap that publishes it (58)."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from cascade_operator.api.canonical import strict_json

MAX_PUBLISHED_BYTES: Final = 512 * 1024
"""A ConfigMap holds 1 MiB, and the instructions stand in it a second time, for a reader."""

_MAX_PREDICTORS: Final = 64


def program_digest(data: bytes) -> str:
    """The sha256 of a program's bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def check_program(data: bytes, *, sha256: str, size: int) -> dict[str, str]:
    """Checks that bytes from Redis are the program that the archive Job told of.

    Args:
        data: As read; any bytes.
        sha256: The digest that the Job told.
        size: The size in bytes that the Job told.

    Returns:
        The instructions of each predictor, in the program's order.

    Raises:
        ValueError: They are not, or are no program's state.
    """
    if len(data) != size or size > MAX_PUBLISHED_BYTES:
        raise ValueError(f"it has {len(data)} bytes where the archive Job told {size}")
    if program_digest(data) != sha256:
        raise ValueError("its digest is not the one that the archive Job told")
    try:
        state = strict_json(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON: {error}") from error
    return _instructions(state)


def _instructions(state: Any) -> dict[str, str]:
    if not isinstance(state, dict) or len(state) > _MAX_PREDICTORS:
        raise ValueError("it is no program's state")
    found = {}
    for name, part in state.items():
        if name == "metadata":
            continue
        signature = part.get("signature") if isinstance(part, dict) else None
        words = signature.get("instructions") if isinstance(signature, dict) else None
        if not isinstance(words, str) or not isinstance(part.get("demos"), list):
            raise ValueError(f"its part {name[:64]!r} has no instructions or demonstrations")
        found[name] = words
    return found
