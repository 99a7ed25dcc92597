"""Ports of this machine: free ones, and whether something answers on one."""

from __future__ import annotations

import random
import socket
import ssl
import urllib.error
import urllib.request
from contextlib import suppress
from typing import Final

_PORTS: Final = (20000, 32000)


def answers(url: str, context: ssl.SSLContext | None = None) -> bool:
    """Whether a URL answers with 200; ``OSError`` where nobody listens."""
    try:
        with urllib.request.urlopen(url, timeout=2, context=context) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return False


def free_ports(count: int) -> list[int]:
    """Ports that are free now; held together, so that no two are the same.

    They lie below those that connections take by themselves: a server that a test stops finds its
    port free again.
    """
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            with suppress(OSError):
                held.append(socket.create_server(("127.0.0.1", random.randint(*_PORTS))))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()
