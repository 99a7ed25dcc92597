"""Which process a stored id means: ids are used again, so the start time goes with them."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_STARTED: Final = 19  # starttime is field 22 of proc(5); the first one behind the name is field 3
_POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process of one boot.

    Attributes:
        pid: Its id.
        started: Clock ticks from boot to its start.
        boot: The kernel's id of that boot.
    """

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity | None:
        """Identifies a process; None if there is none (a zombie is none)."""
        try:
            text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        except OSError:
            return None
        fields = text.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else cls(pid, int(fields[_STARTED]), boot)

    @property
    def alive(self) -> bool:
        """Whether that very process still runs."""
        return ProcessIdentity.of(self.pid) == self


def end_orphan(orphan: ProcessIdentity, *, grace_seconds: float) -> None:
    """Ends a process an earlier, killed owner left, with all it started; nothing else.

    Blocks for the grace period at most and a moment.
    """
    for number, seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 2.0)):
        deadline = time.monotonic() + seconds
        if not orphan.alive:
            return
        try:
            os.killpg(orphan.pid, number)
        except ProcessLookupError:
            return
        while orphan.alive and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
