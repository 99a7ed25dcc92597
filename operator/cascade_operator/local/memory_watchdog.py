"""Memory limits without the kernel's help: a Job over its limit is killed as a kubelet's would be.

One look at the process table serves all Jobs: each is a session of its own, so what it has
started is known by its session id.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

POLL_SECONDS: Final = 0.25

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
# Places in /proc/<pid>/stat behind the name, which may hold anything and ends with ")": session
# is field 6 and rss field 24 of proc(5), the first one behind the name is field 3.
_SESSION, _RSS = 3, 21


def resident_bytes(proc: Path = Path("/proc")) -> dict[int, int]:
    """Sums the resident memory of each session's processes.

    Returns:
        Bytes by session id, which is the process id of the process that opened it.
    """
    found: dict[int, int] = {}
    for entry in os.scandir(proc):
        if not entry.name.isdecimal():
            continue
        try:
            text = Path(entry.path, "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # it ended since the listing
        fields = text.rpartition(")")[2].split()
        session = int(fields[_SESSION])
        found[session] = found.get(session, 0) + int(fields[_RSS]) * _PAGE
    return found


async def watch_memory(
    limits: Callable[[], Mapping[int, int]],
    kill: Callable[[int], None],
    *,
    poll_seconds: float = POLL_SECONDS,
    measure: Callable[[], Mapping[int, int]] = resident_bytes,
) -> None:
    """Kills what is over its limit, until cancelled.

    Args:
        limits: Gives the limits in force: bytes by session id.
        kill: Called once a poll for each session that is over its limit.
        poll_seconds: Time between two looks.
        measure: Gives the use: bytes by session id.
    """
    while True:
        wanted = limits()
        if wanted:
            used = await asyncio.to_thread(measure)
            for session, limit in wanted.items():
                if limit and used.get(session, 0) > limit:
                    kill(session)
        await asyncio.sleep(poll_seconds)
