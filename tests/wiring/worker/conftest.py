"""One undisturbed run of workers, and its Redis at each step, to start from and compare with."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fakes.model_server import FakeModelServer
from fakes.ticket_runs import findings, ticket_answers
from fakes.ticket_workers import FINAL, TicketWorkers
from fakes.valkey import start_valkey


@dataclass(frozen=True)
class Reference:
    """What the undisturbed run left.

    Attributes:
        prepared: Redis after prepare.
        trained: Redis after the groups.
        found: What its archives hold.
        chats: Chat requests of prepare, and of the groups.
    """

    prepared: Mapping[bytes, bytes]
    trained: Mapping[bytes, bytes]
    found: dict[str, Any]
    chats: tuple[int, int]


@pytest.fixture(scope="package")
def server() -> Iterator[FakeModelServer]:
    with FakeModelServer(ticket_answers()) as running:
        yield running


@pytest.fixture(scope="package")
def redis_socket() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="vk") as folder, start_valkey(Path(folder)) as socket:
        yield socket


@pytest.fixture(scope="package")
def reference(
    server: FakeModelServer, redis_socket: str, tmp_path_factory: pytest.TempPathFactory
) -> Reference:
    """The run that nothing happens to."""
    workers = TicketWorkers.at(tmp_path_factory.mktemp("reference"), redis_socket, server.url)
    workers.client.flushall()
    begin = server.chats
    workers.inside("prepare")
    prepared, proposed = workers.dump(), server.chats
    workers.train()
    trained, searched = workers.dump(), server.chats
    workers.inside(*FINAL)
    found = findings(workers.archive())
    assert len({t.score for g in found["groups"].values() for t in g["trials"]}) > 3
    return Reference(prepared, trained, found, (proposed - begin, searched - proposed))


@pytest.fixture
def workers(
    reference: Reference, server: FakeModelServer, redis_socket: str, tmp_path: Path
) -> Iterator[TicketWorkers]:
    """Another run of the same session, with an empty Redis."""
    fresh = TicketWorkers.at(tmp_path, redis_socket, server.url)
    fresh.client.flushall()
    server.recover()
    server.delay = 0.0
    yield fresh
    fresh.client.client_unpause()
    server.recover()
    server.delay = 0.0
