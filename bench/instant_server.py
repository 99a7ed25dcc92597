"""A model server that answers at once, as a process: ``python instant_server.py``.

It speaks OpenAI's chat form. An answer fits every node of the default cascade and differs from
prompt to prompt, so that no two records ever send the same request. ``GET /stats`` tells how many
chats came and when the first did, on the machine's monotonic clock.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import zlib
from typing import Any


class _Chat(asyncio.Protocol):
    count = 0
    first: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while True:
            head, blank, rest = self._received.partition(b"\r\n\r\n")
            length = _length(head)
            if not blank or len(rest) < length:
                return
            self._received = rest[length:]
            self._transport.write(_http(self._answer(head, rest[:length])))

    def _answer(self, head: bytes, body: bytes) -> Any:
        if head.startswith(b"GET"):
            return {"chats": _Chat.count, "first": _Chat.first}
        _Chat.count += 1
        if _Chat.first is None:
            _Chat.first = time.monotonic()
        return _completion(zlib.crc32(body))


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _http(value: Any) -> bytes:
    body = json.dumps(value).encode()
    head = (
        f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _completion(number: int) -> dict[str, Any]:
    name = f"function_{number}"
    said = {
        "brief": f"{name}: does what the request asks",
        "requirement": {
            "function": name,
            "parameters": [{"name": "value", "type": "int", "required": True}],
        },
        "specification": {"function": name, "arguments": [{"name": "value", "value": number}]},
        "call": {"name": name, "arguments": {"value": number}},
    }
    message = {"role": "assistant", "content": json.dumps(said)}
    return {
        "id": "instant",
        "object": "chat.completion",
        "created": 0,
        "model": "instant",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 300, "completion_tokens": 60, "total_tokens": 360},
    }


async def _serve() -> None:
    parent = os.getppid()
    server = await asyncio.get_running_loop().create_server(_Chat, "127.0.0.1", 0)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    while os.getppid() == parent:  # a bench that is killed leaves no server behind
        await asyncio.sleep(0.5)


if __name__ == "__main__":
    asyncio.run(_serve())
