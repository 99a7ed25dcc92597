"""The body of a watch: one JSON object a line, however the network cuts it (80)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, Final

from cascade_operator.control.kube.decode import read_json
from cascade_operator.control.kube.errors import error_of
from cascade_operator.control.kube.fields import mapping, number
from cascade_operator.control.kube.port import ClusterError

_LONGEST_LINE: Final = 16 * 1024**2
"""More than an API server stores of one object (1.5 MiB), in any encoding."""


async def watch_lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yields the lines of a stream, without what an ended stream leaves half.

    Raises:
        ClusterError: A line is longer than any object.
    """
    rest = bytearray()
    async for chunk in chunks:
        rest += chunk
        if b"\n" in chunk:
            *whole, last = bytes(rest).split(b"\n")
            rest = bytearray(last)
            for line in whole:
                if line:
                    yield line
        if len(rest) > _LONGEST_LINE:
            raise ClusterError(f"a watch's line is longer than {_LONGEST_LINE} bytes")


def watch_event(line: bytes, now: float) -> dict[str, Any]:
    """Reads an event: ``{"type": ..., "object": {...}}``.

    Args:
        line: Its JSON.
        now: Seconds since the epoch.

    Raises:
        GoneError: It says that the watch's version is too old.
        ClusterError: It is another error, or no event.
    """
    try:
        event: Any = read_json(line)
    except ValueError as error:
        raise ClusterError("a watch's line is no JSON") from error
    found = mapping(event)
    about = found.get("object")
    if not isinstance(found.get("type"), str) or not isinstance(about, dict):
        raise ClusterError("a watch's line is no event")
    if found["type"] == "ERROR":
        raise error_of(number(about.get("code")) or 500, json.dumps(about).encode(), None, now)
    return {"type": found["type"], "object": about}
