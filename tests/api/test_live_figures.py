"""Live figures from a real Redis: seen while groups train, lost with it, and nothing else is."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from api.control_plane import ControlPlane
from api.invariants import assert_whole
from api.ports import free_ports
from api.rest import wait_for
from api.session_bed import Session, SessionBed, serving
from cascade_operator.api.calls import CallFigures
from cascade_operator.api.keys import RunKeys
from cascade_operator.api.records import Progress
from fakes.valkey import start_valkey

OPEN = {"outcome.group": "hold"}
SINGLE = ("00", "01")


class Server:
    """The operator's own Redis, which a test may end.

    Attributes:
        url: As the operator is told it.
    """

    def __init__(self, stack: ExitStack) -> None:
        (port,) = free_ports(1)
        self.url = f"redis://127.0.0.1:{port}/0"
        self._stack = stack
        # Its path must fit into the 107 bytes of a socket's address.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vk")))
        socket = stack.enter_context(start_valkey(folder, "--port", str(port)))
        self.client = stack.enter_context(redis.Redis(unix_socket_path=socket))

    def kill(self) -> None:
        """Ends it, with all that it held."""
        self._stack.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with ExitStack() as stack:
        yield Server(stack)


@pytest.fixture(scope="module")
def bed(
    control_plane: ControlPlane, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SessionBed]:
    """An operator that looks at figures every second."""
    flags = ("--no-leader-election", f"--redis-url={server.url}", "--figures-interval=1")
    with serving(control_plane, tmp_path_factory.mktemp("figures"), *flags) as made:
        yield made


@pytest.fixture(scope="module")
def sessions(bed: SessionBed, server: Server) -> dict[str, Session]:
    """Each with two groups that train until they are told to end."""
    namespace = bed.namespace()
    own = {"named": {"url": server.url}, "elsewhere": {"url": "redis://127.0.0.1:1"}}
    made = {
        name: bed.session(namespace, name=name, play=OPEN, redis=own.get(name, {}))
        for name in ("plain", "named", "elsewhere", "hostile")
    }
    for session in made.values():
        session.wait("both groups train", lambda s: _working(s) == list(SINGLE))
    return made


def _working(status: dict) -> list[str]:
    return [g["name"] for g in status.get("groups", []) if g["phase"] == "Running"]


def key(session: Session, group: str) -> str:
    return RunKeys(session.uid, 1).progress(group)


def tell(server: Server, session: Session, group: str, calls: int, **figures: int) -> None:
    """Does what a group's worker does after each trial."""
    told = Progress(
        name=group,
        stage=45,
        calls=CallFigures(model_calls=calls, input_tokens=10 * calls, cache_hits=calls // 2),
        **{"done": 4, "total": 8, **figures},
    )
    server.client.set(key(session, group), told.model_dump_json(by_alias=True))


def calls(session: Session) -> int:
    return session.status().get("progress", {}).get("modelCalls", 0)


@pytest.mark.parametrize("name", ["plain", "named"])
def test_figures_of_all_groups_are_seen_while_they_train(sessions, server, name):
    session = sessions[name]
    for group in SINGLE:
        tell(server, session, group, calls=20)
    status = session.wait("the figures", lambda s: s["progress"]["modelCalls"] == 40)
    progress = status["progress"]
    assert (progress["tokens"], progress["cacheHits"]) == (400, 20)
    # Half of two groups of three, of the 90 % that groups are; prepare is the first 5.
    assert progress["percent"] == 5 + 30
    assert progress["estimatedRemainingSeconds"] > 0
    assert {
        g["name"]: g["calls"]["modelCalls"] for g in status["groups"] if "calls" in g
    } == dict.fromkeys(SINGLE, 20)
    tell(server, session, "00", calls=30)
    session.wait("newer figures", lambda s: s["progress"]["modelCalls"] == 50)
    tell(server, session, "00", calls=1)
    tell(server, session, "01", calls=25)
    session.wait("what was counted stays", lambda s: s["progress"]["modelCalls"] == 55)


def test_a_session_with_a_redis_of_its_own_is_not_looked_for_here(sessions, server):
    tell(server, sessions["elsewhere"], "00", calls=20)
    tell(server, sessions["plain"], "01", calls=26)
    wait_for("the figures of another", lambda: calls(sessions["plain"]) >= 56)
    assert calls(sessions["elsewhere"]) == 0


HOSTILE = [
    pytest.param(b"{", id="no JSON"),
    pytest.param(b"[" * 16_000, id="nested"),
    pytest.param(b"x" * 32 * 2**20, id="huge"),
    pytest.param(b'{"name":"00","stage":45,"calls":{"modelCalls":1e999}}', id="endless"),
]


def test_hostile_values_cost_nothing_but_their_own(bed, sessions, server):
    session, other = sessions["hostile"], sessions["plain"]
    tell(server, session, "01", calls=7)
    session.wait("the figures", lambda s: s["progress"]["modelCalls"] == 7)
    before = calls(other)
    for number, param in enumerate(HOSTILE, start=1):
        server.client.set(key(session, "00"), param.values[0])
        tell(server, session, "01", calls=7 + number)
        tell(server, other, "01", calls=50 + number)
        session.wait(param.id, lambda s, n=number: s["progress"]["modelCalls"] == 7 + n)
    wait_for("the other's figures", lambda: calls(other) > before)
    server.client.delete(key(session, "00"))
    assert bed.operator.answers("healthz")


def test_figures_beyond_measure_break_nothing(bed, sessions, server):
    session = sessions["hostile"]
    for group in SINGLE:
        tell(server, session, group, calls=10**14, done=10**15, total=1)
    session.wait("the most that a count may be", lambda s: s["progress"]["tokens"] == 10**15)
    assert "a turn broke" not in bed.operator.logged()


def test_without_redis_only_live_figures_are_lost(bed, sessions, server):
    before = {name: session.status()["progress"] for name, session in sessions.items()}
    server.kill()
    for session in sessions.values():
        session.patch(jobTemplate={"metadata": {"annotations": None}})
        for pod in session.pods().values():
            if pod["status"].get("phase") == "Running":
                session.play(pod, **{"outcome.group": "complete"})
    for name, session in sessions.items():
        status = assert_whole(session)
        assert status["progress"]["percent"] == 100
        # By the Jobs' own messages; what was counted live, and is more, stays.
        assert status["progress"]["modelCalls"] >= max(before[name]["modelCalls"], 40 * 3)
        assert {g["attempt"] for g in status["groups"]} == {1}
    assert bed.operator.answers("healthz")
    assert bed.operator.answers("readyz")
