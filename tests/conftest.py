"""Fixtures that several test folders share."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from fakes.valkey import start_valkey


@pytest.fixture(scope="session")
def valkey_socket() -> Iterator[str]:
    """The socket of one server for the whole test run."""
    # Not pytest's own folder: its path can be longer than the 107 bytes a socket may have.
    with tempfile.TemporaryDirectory(prefix="vk") as folder, start_valkey(Path(folder)) as socket:
        yield socket


@pytest.fixture
def redis_client(valkey_socket: str) -> Iterator[redis.Redis]:
    """A client of an empty server."""
    with redis.Redis(unix_socket_path=valkey_socket) as client:
        client.flushall()
        client.config_set("maxmemory", 0)
        yield client
