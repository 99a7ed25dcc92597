"""How a worker, and the command line after it, ends."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The documented exit codes; the planner's retry policy reads them."""

    OK = 0
    SPEC = 64
    DATA = 65
    RUN_DATA_GONE = 66
    UNAVAILABLE = 69
    SOFTWARE = 70
    ARCHIVE_WRITE = 73
    MEMORY_GATE = 75
    TERMINATED = 143
