"""What the probes say, and the watches behind them."""

import asyncio

import aiohttp
import pytest

from cascade_operator.api.errors import ServiceUnavailable
from cascade_operator.control.kube.errors import UnreachableError
from cascade_operator.control.kube.port import NotFoundError
from cascade_operator.control.runtime.discovery import CrdMissingError, require_sessions
from cascade_operator.control.runtime.health import Role, Vitals, sickness, unreadiness
from cascade_operator.control.runtime.probes import Heartbeat, Probes
from cascade_operator.control.runtime.settings import SettingsError
from cascade_operator.control.runtime.watches import Watches, WatchesFailedError, WatchState
from cascade_operator.control.telemetry.metrics import OperatorMetrics
from fakes.virtual_time import VirtualTime


def leading(**changes):
    given = {"role": Role.LEADING, "synced": True, "watches": WatchState.WATCHING, **changes}
    return Vitals(**given)


def standing_by(**changes):
    return leading(role=Role.STANDBY, **changes)


@pytest.mark.parametrize(
    ("vitals", "reason"),
    [
        pytest.param(leading(), "", id="well"),
        pytest.param(leading(oldest_queued_seconds=121), "has been due", id="a stuck queue"),
        pytest.param(leading(last_event_seconds=901), "last event", id="deaf"),
        pytest.param(leading(last_event_seconds=890), "", id="a quiet cluster"),
        pytest.param(leading(beat_seconds=16), "event loop", id="a blocked loop"),
        pytest.param(
            leading(last_event_seconds=9e9, watches=WatchState.NO_CRD), "", id="no CRD to hear of"
        ),
        pytest.param(
            leading(oldest_queued_seconds=500, watches=WatchState.NO_ANSWER), "", id="no server"
        ),
        pytest.param(standing_by(), "", id="standing by"),
        pytest.param(standing_by(last_event_seconds=901), "last event", id="standby deaf"),
        pytest.param(standing_by(beat_seconds=16), "event loop", id="standby blocked"),
        pytest.param(Vitals(Role.ENDING, last_event_seconds=9e9), "", id="ending"),
    ],
)
def test_health(vitals, reason):
    assert (reason in sickness(vitals)) if reason else not sickness(vitals)


@pytest.mark.parametrize(
    ("vitals", "ready"),
    [
        pytest.param(leading(), True, id="serving"),
        pytest.param(standing_by(), True, id="standing by"),
        pytest.param(standing_by(synced=False), False, id="standby not synced"),
        pytest.param(standing_by(watches=WatchState.NO_CRD), False, id="standby without CRD"),
        pytest.param(Vitals(Role.STARTING), False, id="starting"),
        pytest.param(Vitals(Role.ENDING), False, id="ending"),
        pytest.param(leading(synced=False), False, id="not synced"),
        pytest.param(leading(watches=WatchState.NO_CRD), False, id="no CRD"),
    ],
)
def test_readiness(vitals, ready):
    assert (not unreadiness(vitals)) is ready


def test_the_heart_owes_beats():
    time = VirtualTime()
    heart = Heartbeat(time.clock)
    time.now += 20
    assert heart.seconds() == 20
    heart.beat()
    assert heart.seconds() == 0


@pytest.mark.parametrize("ports", ["two", "one"])
def test_probes_answer_over_http(ports):
    now = {"vitals": leading()}

    async def get(session, port, path):
        async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.status, await answer.text()

    async def scenario():
        port = 0
        metrics = OperatorMetrics()
        if ports == "one":
            async with Probes(
                lambda: now["vitals"], metrics, address="127.0.0.1", health_port=0, metrics_port=0
            ) as found:
                port = found.health_port
        probes = Probes(
            lambda: now["vitals"], metrics, address="127.0.0.1", health_port=port, metrics_port=port
        )
        async with probes, aiohttp.ClientSession() as session:
            assert (probes.health_port == probes.metrics_port) is (ports == "one")
            assert await get(session, probes.health_port, "/healthz") == (200, "ok\n")
            now["vitals"] = leading(oldest_queued_seconds=200, synced=False)
            status, text = await get(session, probes.health_port, "/healthz")
            assert (status, text) == (500, "a session has been due for 200 s\n")
            status, _ = await get(session, probes.health_port, "/readyz")
            assert status == 503
            status, text = await get(session, probes.metrics_port, "/metrics")
            assert status == 200
            assert "cascade_operator_leader 0.0" in text
            taken = Probes(
                lambda: now["vitals"],
                metrics,
                address="127.0.0.1",
                health_port=probes.health_port,
                metrics_port=0,
            )
            with pytest.raises(SettingsError, match="cannot listen"):
                await taken.__aenter__()

    asyncio.run(scenario())


class Kopf:
    """Watches that end as a test says; the last outcome is to watch until told to stop."""

    def __init__(self, time, outcomes, served=()):
        self.time, self.outcomes, self.answers = time, list(outcomes), list(served)
        self.starts = self.resyncs = 0
        self.stop = asyncio.Event()
        self.watches = Watches(
            self.watch, self.served, restarted=self.resync, clock=time.clock, sleep=time.sleep
        )

    async def watch(self, started):
        self.starts += 1
        started.set()
        if self.outcomes:
            seconds, error = self.outcomes.pop(0)
            await self.time.sleep(seconds)
            raise error
        await self.stop.wait()

    async def served(self):
        answer = self.answers.pop(0) if self.answers else True
        if isinstance(answer, Exception):
            raise answer
        return answer

    def resync(self):
        self.resyncs += 1


def watching(outcomes, served=(), seconds=1000.0):
    async def scenario():
        time = VirtualTime()
        kopf = Kopf(time, outcomes, served)
        life = asyncio.ensure_future(kopf.watches.run())
        await time.pass_time(seconds)
        state = kopf.watches.state
        kopf.stop.set()
        if state is WatchState.WATCHING or life.done():
            await life
        else:
            life.cancel()
        return kopf, state

    return asyncio.run(scenario())


BROKEN = RuntimeError("kopf has no use for this")


def test_watches_come_back_after_a_fault_and_a_resync_follows():
    kopf, state = watching([(1, BROKEN), (400, BROKEN)])
    assert (kopf.starts, kopf.resyncs) == (3, 2)
    assert state is WatchState.WATCHING


def test_watches_wait_for_a_crd_and_a_server_however_long():
    away = [True, *[False] * 200, *[UnreachableError("no route")] * 200]
    kopf, state = watching([(1, BROKEN)], away, seconds=5)
    assert (kopf.starts, state) == (1, WatchState.NO_CRD)
    kopf, state = watching([(1, BROKEN)], away)
    assert kopf.starts == 2
    assert state is WatchState.WATCHING


def test_watches_that_fail_time_and_again_end_the_process():
    with pytest.raises(WatchesFailedError, match="5 times: kopf has no use for this") as caught:
        watching([(1, BROKEN)] * 9)
    assert "list and watch" in caught.value.mend


def test_watches_that_work_for_long_in_between_do_not():
    kopf, _ = watching([(400, BROKEN)] * 9, seconds=9000)
    assert kopf.starts == 10


class Server:
    """Answers discovery as a test says."""

    def __init__(self, *answers):
        self.answers = list(answers)

    async def request(self, method, path, **_):
        assert (method, path) == ("GET", "/apis/cascade-operator.dev/v1alpha1")
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


SERVED = {"resources": [{"name": "trainingsessions"}]}


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        pytest.param([SERVED], None, id="served"),
        pytest.param([UnreachableError("down"), SERVED], None, id="served after a while"),
        pytest.param([NotFoundError("404")], CrdMissingError, id="no CRD"),
        pytest.param([{"resources": [{"name": "other"}]}], CrdMissingError, id="another kind"),
        pytest.param([{"resources": None}], CrdMissingError, id="no resources"),
        pytest.param([UnreachableError("down")], ServiceUnavailable, id="never an answer"),
    ],
)
def test_the_crd_is_required_and_the_server_waited_for(answers, error):
    async def scenario():
        time = VirtualTime()
        server = Server(*answers)
        asking = asyncio.ensure_future(
            require_sessions(server, seconds=60, clock=time.clock, sleep=time.sleep)
        )
        await time.pass_time(100)
        assert asking.done()
        await asking

    if error is None:
        asyncio.run(scenario())
        return
    with pytest.raises(error) as caught:
        asyncio.run(scenario())
    assert caught.value.mend
