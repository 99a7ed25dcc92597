"""The operator on a real API server: creating Jobs, latencies, memory, idling, leadership.

The control plane is the tests' own (``tests/api``): etcd, API server, controllers and scheduler run
as processes, and kwok plays nodes and workers.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.figure import Figure

_TESTS = str(Path(__file__).parents[2] / "tests")


def measure() -> list[Figure]:
    """See ``bench.operator.figures``."""
    if _TESTS not in sys.path:
        sys.path.append(_TESTS)
    from bench.operator.figures import measure_all  # noqa: PLC0415 - needs the path

    return measure_all()
