"""Bounds that a process which decodes what others made sets itself (70)."""

from __future__ import annotations

import resource


def bound_process(*, data_bytes: int, processor_seconds: int) -> None:
    """Bounds this process for good; a bound that is lower already stays.

    Args:
        data_bytes: The most memory it may take; beyond it Python raises MemoryError.
        processor_seconds: The most processor time; beyond it the kernel ends the process.
    """
    for kind, most in (
        (resource.RLIMIT_DATA, data_bytes),
        (resource.RLIMIT_CPU, processor_seconds),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (allowed, allowed))
