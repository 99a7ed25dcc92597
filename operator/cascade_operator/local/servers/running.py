"""One embedded server that runs: where it answers, and how it ends."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx

from cascade_operator.local.process import OwnedProcess

STOP_SECONDS: Final = 5.0
_ANY_PORT: Final = 0


@dataclass(slots=True)
class RunningServer:
    """An embedded server.

    Attributes:
        name: What a reader calls it.
        url: Where it answers, as its clients take it; also after it was started again.
        process: Its process; gone when this process is.
        start: Starts another process in its place, and returns it once it serves.
        cleanup: Called after its end, to remove what it left outside the state folder.
        environment: What workers need to find it.
    """

    name: str
    url: str
    process: OwnedProcess
    start: Callable[[], Awaitable[OwnedProcess]]
    cleanup: Callable[[], None] = field(default=lambda: None)
    environment: Mapping[str, str] = field(default_factory=dict)

    async def start_again(self) -> None:
        """Puts a new process in the place of one that has ended.

        Raises:
            ServiceUnavailable: It does not start.
        """
        self.process = await self.start()

    async def stop(self) -> None:
        """Ends it in order; after some seconds without order."""
        await self.process.stop(STOP_SECONDS)
        await asyncio.to_thread(self.cleanup)


async def start_own_server(
    name: str,
    title: str,
    options: Mapping[str, object],
    *,
    folder: Path,
    log: Path,
    health: str,
    seconds: float,
) -> RunningServer:
    """Starts one of our own server processes on a free port and waits until it serves.

    Args:
        name: ``chat`` or ``embeddings``: of its module, its address file and its variable.
        title: What messages call it.
        options: Its command line's options; ``--address`` is added.
        folder: For the file that tells its address; made when it is missing.
        log: Its log file.
        health: The path that answers 200 once it serves.
        seconds: How long it may take to get there.

    Raises:
        ServiceUnavailable: It did not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    address = folder / f"{name}.address"
    module = f"cascade_operator.local.servers.{name}_process"

    async def start(port: int) -> tuple[OwnedProcess, str]:
        address.unlink(missing_ok=True)
        given = {**options, "--address": address, "--port": port}
        arguments = [str(part) for pair in given.items() for part in pair]
        process = OwnedProcess.start(title, [sys.executable, "-m", module, *arguments], log=log)
        try:
            return process, await process.ready(http_address(address, health), seconds=seconds)
        except BaseException:
            await process.stop(0.0)
            raise

    process, url = await start(_ANY_PORT)

    async def start_again() -> OwnedProcess:
        # Jobs under way know the address.
        return (await start(urlsplit(url).port or _ANY_PORT))[0]

    return RunningServer(
        name,
        url,
        process,
        start_again,
        cleanup=lambda: address.unlink(missing_ok=True),
        environment={f"CASCADE_EMBEDDED_{name.upper()}_URL": url},
    )


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
