"""One model server and one undisturbed run that the tests of whole runs share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cascade_operator.archive.model import RunArchive
from fakes.cascade_cli import Ended, cascade
from fakes.model_server import FakeModelServer
from fakes.ticket_runs import TicketRun, ticket_answers, ticket_session, write_session


@dataclass(frozen=True)
class Undisturbed:
    """A run to start from or to compare with.

    Attributes:
        session: The session's file.
        run: What it left.
        ended: How the command ended.
        chats: Chat requests it took.
        tokens: Tokens in and out of their answers.
    """

    session: Path
    run: TicketRun
    ended: Ended
    chats: int
    tokens: int


@pytest.fixture(scope="session")
def server() -> Iterator[FakeModelServer]:
    """Answers the tickets; the same request is answered the same whenever it comes."""
    with FakeModelServer(ticket_answers()) as running:
        yield running


@pytest.fixture(scope="session")
def undisturbed(server: FakeModelServer, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """The tickets session, run once from its start to its end."""
    folder = tmp_path_factory.mktemp("undisturbed")
    session = write_session(folder, ticket_session(server.url))
    before = server.stats()
    ended = cascade("run", session, "--state", folder / "state")
    assert ended.code == 0, ended.text
    after = server.stats()
    took = {name: after[name] - before[name] for name in ("chats", "tokens")}
    return Undisturbed(session, TicketRun(folder / "state"), ended, **took)


@dataclass(frozen=True)
class Retrained:
    """The undisturbed session, trained once more.

    Attributes:
        run: What both runs left.
        first: The archive of the first run.
        ended: How the second command ended.
    """

    run: TicketRun
    first: RunArchive
    ended: Ended


@pytest.fixture(scope="session")
def retrained(undisturbed: Undisturbed, tmp_path_factory: pytest.TempPathFactory) -> Retrained:
    """A second run, which starts warm from the first."""
    run = undisturbed.run.copied_to(tmp_path_factory.mktemp("retrained") / "state")
    first = run.archive()
    ended = cascade("run", undisturbed.session, "--state", run.state, "--retrain")
    assert ended.code == 0, ended.text
    return Retrained(run, first, ended)
