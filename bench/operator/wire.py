"""A bare asyncio client of the API server, and watches whose lines are stamped as they come.

It runs in a thread of its own, so that whoever starts processes and waits for them holds up no
stamp. Watched lines are kept as they are and parsed afterwards: the operator shares the machine.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import time
from collections.abc import Coroutine, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp

from api.rest import Rest

CONNECTIONS = 16
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

T = TypeVar("T")


@dataclass(slots=True)
class Recording:
    """A watch's lines, each with the ``perf_counter`` at which it had come."""

    lines: list[tuple[float, bytes]] = field(default_factory=list)

    def events(self) -> Iterator[tuple[float, str, dict[str, Any]]]:
        """Stamp, type and object of what has come so far."""
        for stamp, line in list(self.lines):
            event = json.loads(line)
            yield stamp, event["type"], event["object"]

    def quiet(self, seconds: float) -> bool:
        """Whether nothing has come for so long."""
        return not self.lines or time.perf_counter() - self.lines[-1][0] > seconds


@dataclass(frozen=True, slots=True)
class Request:
    """A request whose body is ready to be sent."""

    method: str
    path: str
    body: bytes
    content_type: str = "application/json"


class Wire:
    """Sixteen connections as the administrator, and one more for each watch."""

    def __init__(self, rest: Rest) -> None:
        self._server = f"https://127.0.0.1:{rest.port}"
        self._tls = ssl.create_default_context(cafile=str(rest.authority))
        self._tls.load_cert_chain(rest.user.certificate, rest.user.key)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._http, self._watches = self._do(self._connect())

    def close(self) -> None:
        """Closes the connections."""
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def send(self, requests: Iterable[Request]) -> list[float]:
        """Sends all as fast as sixteen connections go; when each was sent, in their order."""
        return self._do(self._send(list(requests), 0.0))

    def send_paced(self, requests: Iterable[Request], a_second: float) -> list[float]:
        """Sends so many a second, whatever the answers take; when each was sent."""
        return self._do(self._send(list(requests), 1.0 / a_second))

    @contextmanager
    def watch(self, path: str, *, metadata_only: bool = False) -> Iterator[Recording]:
        """Records a watch: first what is there, then what happens."""
        recording, opened = Recording(), threading.Event()
        accept = METADATA if metadata_only else "application/json"
        task = self._start(self._watch(path, accept, recording, opened))
        while not opened.wait(0.1):
            if task.done():
                task.result()
        try:
            yield recording
            assert not task.done(), f"the watch of {path} has ended"
        finally:
            task.cancel()

    def _start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return self._start(work).result()

    async def _connect(self) -> tuple[aiohttp.ClientSession, aiohttp.ClientSession]:
        def session(limit: int) -> aiohttp.ClientSession:
            connector = aiohttp.TCPConnector(limit=limit, ssl=self._tls)
            return aiohttp.ClientSession(
                self._server, connector=connector, timeout=aiohttp.ClientTimeout(total=None)
            )

        return session(CONNECTIONS), session(0)

    async def _close(self) -> None:
        await self._http.close()
        await self._watches.close()

    async def _send(self, requests: list[Request], pause: float) -> list[float]:
        sent = [0.0] * len(requests)
        rest = iter(enumerate(requests))
        begin = time.perf_counter()

        async def one(number: int, request: Request) -> None:
            sent[number] = time.perf_counter()
            headers = {"Content-Type": request.content_type}
            async with self._http.request(
                request.method, request.path, data=request.body, headers=headers
            ) as answer:
                said = await answer.read()
                if answer.status >= 400:
                    raise RuntimeError(f"{request.method} {request.path}: {said[:500]!r}")

        async def many() -> None:
            for number, request in rest:
                await one(number, request)

        if not pause:
            await asyncio.gather(*(many() for _ in range(CONNECTIONS)))
            return sent
        async with asyncio.TaskGroup() as tasks:
            for number, request in rest:
                await asyncio.sleep(begin + number * pause - time.perf_counter())
                tasks.create_task(one(number, request))
        return sent

    async def _watch(
        self, path: str, accept: str, recording: Recording, opened: threading.Event
    ) -> None:
        query = {"watch": "true", "timeoutSeconds": "3600"}
        while True:
            async with self._watches.get(path, params=query, headers={"Accept": accept}) as answer:
                assert answer.status == 200, await answer.text()
                opened.set()
                with suppress(aiohttp.ClientError):
                    await _record(answer.content, recording)
            # A server that is pressed ends watches that read too slowly: go on where it ended.
            if recording.lines:
                last = json.loads(recording.lines[-1][1])["object"]["metadata"]
                query["resourceVersion"] = last["resourceVersion"]


async def _record(content: aiohttp.StreamReader, recording: Recording) -> None:
    rest = b""
    async for chunk in content.iter_any():
        now = time.perf_counter()
        *whole, rest = (rest + chunk).split(b"\n")
        recording.lines += [(now, line) for line in whole]
