"""How many Jobs one machine takes at once, where a cluster's scheduler would decide."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from cascade_operator.api.quantity import parse_quantity
from cascade_operator.api.session import TrainingSessionSpec

_FOR_JOBS: Final = 0.7  # of the memory that is free now; the rest is for servers and the user
_JOBS_PER_CPU_WITH_REMOTE_MODEL: Final = 4
_DEFAULT_LIMIT: Final = "1Gi"


def fitting_parallelism(
    spec: TrainingSessionSpec, *, embedded_model: bool, cpus: int, free_bytes: int
) -> int:
    """Jobs at once that this machine takes; never more than the session asks for, at least one.

    Args:
        spec: The session's spec.
        embedded_model: Whether the model runs here too: then more Jobs only wait for each other.
        cpus: Processors this process may use.
        free_bytes: Memory that could be used without swapping.
    """
    limit = parse_quantity(spec.resources.group.limits.memory or _DEFAULT_LIMIT)
    by_memory = int(free_bytes * _FOR_JOBS) // max(1, limit)
    by_cpu = cpus if embedded_model else cpus * _JOBS_PER_CPU_WITH_REMOTE_MODEL
    return max(1, min(spec.parallelism, by_memory, by_cpu))


def available_cpus() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0))


def available_memory(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Bytes the kernel could give without swapping (``MemAvailable``)."""
    for line in meminfo.read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
