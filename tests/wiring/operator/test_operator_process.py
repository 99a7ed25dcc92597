"""kopf, the loop, the election and the probes together, against a small API server."""

import asyncio
import os
import signal
from contextlib import asynccontextmanager

import aiohttp
import pytest

from cascade_operator.api.errors import ServiceUnavailable
from cascade_operator.control.kube.api import KubeApi
from cascade_operator.control.manifests.labels import SESSION_UID
from cascade_operator.control.runtime import process, watches
from cascade_operator.control.runtime.candidate import Terms
from cascade_operator.control.runtime.discovery import CrdMissingError, require_sessions
from cascade_operator.control.runtime.elector import Elector
from cascade_operator.control.runtime.kopf_app import watch
from cascade_operator.control.runtime.lease import KubeLeases
from cascade_operator.control.runtime.process import Operator
from cascade_operator.control.runtime.settings import LeaseSettings, Settings
from fakes.api_server import FakeApiServer
from fakes.event_loop import in_loop, until

OURS = {"labels": {SESSION_UID: "uid-1"}}


class Heard:
    """A listener that keeps what it was told."""

    def __init__(self):
        self.events = []
        self.poison = set()

    def _hear(self, kind, type_, raw):
        self.events.append((kind, type_, raw["metadata"]["name"]))
        if raw["metadata"]["name"] in self.poison:
            raise SystemExit(3)

    def session_event(self, type_, raw):
        self._hear("session", type_, raw)


@asynccontextmanager
async def watching(server, tmp_path, namespaces=()):
    heard, stop, ready = Heard(), asyncio.Event(), asyncio.Event()
    api = await KubeApi.connect(kubeconfig=str(server.kubeconfig(tmp_path)))
    life = asyncio.create_task(watch(api, heard, namespaces=namespaces, stop=stop, ready=ready))
    try:
        await until(lambda: life.done() or len(server.watchers) >= max(1, len(namespaces)))
        yield heard, life
        stop.set()
        await asyncio.wait_for(life, 60)
    finally:
        life.cancel()
        await api.close()


@in_loop
async def test_events_arrive_and_kopf_writes_nothing(tmp_path):
    async with FakeApiServer() as server:
        server.put("trainingsessions", "old", spec={})
        async with watching(server, tmp_path) as (heard, _):
            server.put("trainingsessions", "new", spec={})
            server.put("trainingsessions", "new", spec={"suspend": True})
            server.remove("trainingsessions", "new")
            await until(lambda: ("session", "DELETED", "new") in heard.events)
        assert heard.events == [
            ("session", None, "old"),
            ("session", "ADDED", "new"),
            ("session", "MODIFIED", "new"),
            ("session", "DELETED", "new"),
        ]
        # Children are not kopf's to watch.
        assert {resource for resource, _ in server.queries} == {"trainingsessions"}
        assert server.writes() == []


@in_loop
async def test_a_watch_that_is_cut_goes_on_and_one_too_old_lists_again(tmp_path):
    async with FakeApiServer() as server:
        server.put("trainingsessions", "one", spec={})
        async with watching(server, tmp_path) as (heard, _):
            server.cut_watches("trainingsessions")
            await until(lambda: server.watched("trainingsessions") == 2)
            await until(lambda: len(server.watchers) == 1)
            server.put("trainingsessions", "two", spec={})
            await until(lambda: ("session", "ADDED", "two") in heard.events)
            assert heard.events.count(("session", None, "one")) == 1
            server.outdate_watches("trainingsessions")
            await until(lambda: ("session", None, "two") in heard.events)
            assert heard.events.count(("session", None, "one")) == 2
        assert server.writes() == []


@in_loop
async def test_an_object_on_which_a_handler_breaks_ends_nothing(tmp_path):
    async with FakeApiServer() as server:
        async with watching(server, tmp_path) as (heard, life):
            heard.poison.add("poison")
            server.put("trainingsessions", "poison", spec={})
            await until(lambda: ("session", "ADDED", "poison") in heard.events)
            server.put("trainingsessions", "next", spec={})
            await until(lambda: ("session", "ADDED", "next") in heard.events)
            assert not life.done()
        assert server.writes() == []


@in_loop
async def test_kopf_s_end_leaves_the_tasks_of_others_alone(tmp_path):
    async with FakeApiServer() as server:
        async with watching(server, tmp_path):
            other = asyncio.create_task(asyncio.sleep(60))
        assert not other.done()
        other.cancel()


@in_loop
async def test_only_the_given_namespaces_are_watched(tmp_path):
    async with FakeApiServer() as server, watching(server, tmp_path, ("a", "b")):
        paths = {p for m, p, _ in server.requests if p.endswith("/trainingsessions")}
        base = "/apis/cascade-operator.dev/v1alpha1/namespaces"
        assert paths == {f"{base}/a/trainingsessions", f"{base}/b/trainingsessions"}


# The whole process.


def settings_for(server, tmp_path, **changes):
    given = {
        "kubeconfig": server.kubeconfig(tmp_path),
        "health_port": 0,
        "metrics_port": 0,
        "address": "127.0.0.1",
        "lease": LeaseSettings(duration_seconds=10, renew_seconds=8, retry_seconds=0.3),
        **changes,
    }
    return Settings(**given)


@asynccontextmanager
async def running(server, tmp_path, **changes):
    operator = Operator(settings_for(server, tmp_path, **changes))
    life = asyncio.create_task(operator.run())
    try:
        await until(lambda: operator.probes is not None and operator.probes.health_port)
        yield operator, life
    finally:
        operator.stop()
        await asyncio.wait({life}, timeout=60)
        life.cancel()


async def get(operator, path):
    port = operator.probes.health_port
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}") as answer,
    ):
        return answer.status


async def until_ready(operator):
    async with asyncio.timeout(60):
        while await get(operator, "/readyz") != 200:
            await asyncio.sleep(0.02)


def heard(operator, kind, type_):
    name, labels = "cascade_operator_watch_events_total", {"kind": kind, "type": type_}
    return operator.metrics.registry.get_sample_value(name, labels)


def holder(server):
    lease = server.objects.get(("leases", "ops", "cascade-operator"))
    return None if lease is None else lease["spec"]["holderIdentity"]


@in_loop
async def test_sigterm_ends_it_in_time_and_gives_the_lease_up(tmp_path):
    async with FakeApiServer() as server, running(server, tmp_path) as (operator, life):
        await until_ready(operator)
        await until(lambda: len(server.watchers) == 3)
        assert holder(server)
        assert operator.metrics.registry.get_sample_value("cascade_operator_leader") == 1
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asyncio.wait_for(life, 60) == 0
        assert holder(server) == ""
        assert {path.rpartition("/leases")[1] for _, path in server.writes()} == {"/leases"}


@in_loop
async def test_who_stands_by_hears_of_everything_and_takes_over_at_once(tmp_path):
    async with FakeApiServer() as server:
        api = await KubeApi.connect(kubeconfig=str(server.kubeconfig(tmp_path)))
        other = Elector(KubeLeases(api, "ops", "cascade-operator"), "other", Terms(6, 5, 0.3))
        await other.acquire()
        renewing = asyncio.create_task(other.hold())
        async with running(server, tmp_path) as (operator, _):
            await until_ready(operator)
            await asyncio.sleep(6.3)  # longer than the Lease lasts: it is renewed
            assert operator.vitals().role == "standing by"
            # It hears of everything, and can go on where the other ends.
            assert len(server.watchers) == 3
            assert operator.vitals().synced
            renewing.cancel()
            await other.release()
            await until(lambda: operator.vitals().role == "leading", 2)
            assert len(server.watchers) == 3
            assert holder(server) not in ("", "other")
        await api.close()


@in_loop
async def test_who_stands_by_and_is_told_to_stop_takes_no_lease_any_more(tmp_path, monkeypatch):
    """As where both replicas end at once: the next one would wait for the Lease of a dead one."""

    async def ends_slowly(*given, **more):
        await watch(*given, **more)
        await asyncio.sleep(1)  # kopf may take two

    monkeypatch.setattr(process, "watch", ends_slowly)
    async with FakeApiServer() as server:
        api = await KubeApi.connect(kubeconfig=str(server.kubeconfig(tmp_path)))
        other = Elector(KubeLeases(api, "ops", "cascade-operator"), "other", Terms(6, 5, 0.3))
        await other.acquire()
        async with running(server, tmp_path) as (operator, life):
            await until_ready(operator)
            assert operator.vitals().role == "standing by"
            operator.stop()
            await other.release()
            assert await asyncio.wait_for(life, 60) == 0
            assert holder(server) == ""
            assert operator.vitals().role == "ending"
        await api.close()


@in_loop
async def test_a_leader_that_cannot_renew_ends_with_1(tmp_path):
    brief = LeaseSettings(duration_seconds=3, renew_seconds=2, retry_seconds=0.3)
    async with (
        FakeApiServer() as server,
        running(server, tmp_path, lease=brief) as (operator, life),
    ):
        # One that stands by is ready too.
        await until(lambda: operator.vitals().role == "leading")
        server.faults["/leases/cascade-operator"] = [503] * 1000
        assert await asyncio.wait_for(life, 60) == 1
        assert holder(server)


def test_a_crd_that_is_removed_and_restored_is_served_again(tmp_path, monkeypatch):
    monkeypatch.setattr(watches, "_PAUSE_SECONDS", 0.05)

    async def scenario():
        async with FakeApiServer() as server, running(server, tmp_path) as (operator, life):
            await until(lambda: len(server.watchers) == 3)
            await until_ready(operator)
            server.absent.add("trainingsessions")
            server.cut_watches("trainingsessions")
            await until(lambda: "CRD was removed" in operator.vitals().watches)
            assert await get(operator, "/readyz") == 503
            assert await get(operator, "/healthz") == 200
            assert not life.done()
            server.absent.clear()
            await until_ready(operator)
            # Three, not five: the watches that did not fail are not left over.
            await until(lambda: len(server.watchers) == 3)
            assert operator.metrics.registry.get_sample_value("cascade_operator_leader") == 1
            server.put("jobs", "job", metadata=OURS)
            await until(lambda: heard(operator, "jobs", "ADDED"))
            assert heard(operator, "jobs", "ADDED") == 1

    asyncio.run(scenario())


def test_without_the_crd_it_ends_with_1_and_says_how_to_install_it(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(process, "configure_logs", lambda *_: None)

    async def served():
        async with FakeApiServer() as server:
            server.absent.add("trainingsessions")
            settings = settings_for(server, tmp_path)
            with pytest.raises(CrdMissingError):
                await Operator(settings).run()
            return await asyncio.to_thread(process.run, settings)

    assert asyncio.run(served()) == 1
    assert "kubectl apply -f crds/" in caplog.text


@in_loop
async def test_a_server_that_does_not_answer_is_named(tmp_path):
    async with FakeApiServer() as server:
        path = server.kubeconfig(tmp_path)
    api = await KubeApi.connect(kubeconfig=str(path))
    try:
        with pytest.raises(ServiceUnavailable, match="no answer from the API server"):
            await require_sessions(api, seconds=0)
    finally:
        await api.close()
