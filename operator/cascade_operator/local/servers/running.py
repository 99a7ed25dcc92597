"""One embedded server that runs: where it answers, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from cascade_operator.local.process import OwnedProcess

STOP_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class RunningServer:
    """An embedded server.

    Attributes:
        name: What a reader calls it.
        url: Where it answers, as its clients take it.
        process: Its process; gone when this process is.
        cleanup: Called after its end, to remove what it left outside the state folder.
        environment: What workers need to find it.
    """

    name: str
    url: str
    process: OwnedProcess
    cleanup: Callable[[], None] = field(default=lambda: None)
    environment: Mapping[str, str] = field(default_factory=dict)

    async def stop(self) -> None:
        """Ends it in order; after some seconds without order."""
        await self.process.stop(STOP_SECONDS)
        await asyncio.to_thread(self.cleanup)


def http_address(address: Path, health: str) -> Callable[[], str | None]:
    """Makes a readiness probe for a server that writes its address to a file.

    Args:
        address: The file; it appears once the server listens.
        health: The path that answers 200 once the server serves.
    """

    def probe() -> str | None:
        try:
            url = address.read_text(encoding="ascii").strip()
            answer = httpx.get(f"{url}{health}", timeout=2.0, trust_env=False) if url else None
        except (OSError, httpx.HTTPError):
            return None
        return url if answer is not None and answer.status_code == httpx.codes.OK else None

    return probe
