"""The watches of Jobs and pods against a small API server that cuts them, forgets, and refuses."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from cascade_operator.control.kube import child_watch
from cascade_operator.control.kube.api import KubeApi
from cascade_operator.control.kube.cache import WatchCache
from cascade_operator.control.kube.listing import Lister
from cascade_operator.control.manifests import labels
from fakes.api_server import FakeApiServer
from fakes.child_watches import child_watches
from fakes.event_loop import in_loop, until
from fakes.raw_objects import raw_job

# Its own uid, name and version each gets from the server.
OURS = {
    key: value
    for key, value in raw_job()["metadata"].items()
    if key not in ("uid", "name", "namespace", "resourceVersion")
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(child_watch, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(child_watch, "_MOST_PAUSE", 0.02)


class Heard:
    """Keeps what it was told."""

    def __init__(self):
        self.events, self.lists, self.alive = [], [], 0
        self.poison = set()

    def job_event(self, kind, raw):
        self._hear("job", kind, raw)

    def pod_event(self, kind, raw):
        self._hear("pod", kind, raw)

    def _hear(self, what, kind, raw):
        name = raw["metadata"]["name"]
        self.events.append((what, kind, name))
        if name in self.poison:
            raise RecursionError("a deep object")

    def sign(self):
        self.alive += 1


@asynccontextmanager
async def watching(server, folder, namespaces=()):
    api = await KubeApi.connect(kubeconfig=str(server.kubeconfig(folder)), watches=8)
    heard, cache = Heard(), WatchCache()
    lister = Lister(api, cache, namespaces)
    try:
        await lister.fill()
        begun = {"jobs": server.watched("jobs"), "pods": server.watched("pods")}
        async with child_watches(
            lister, heard, alive=heard.sign, listed_anew=heard.lists.append
        ) as tasks:
            await until(lambda: len(server.watchers) == 2 * max(1, len(namespaces)))
            yield heard, cache
            assert not any(task.done() for task in tasks)
        assert begun == {"jobs": 0, "pods": 0}
    finally:
        await api.close()


def queries(server, resource, *, watch):
    return [q for r, q in server.queries if r == resource and ("watch" in q) is watch]


@in_loop
async def test_a_watch_goes_on_where_the_list_ended_and_the_server_selects(tmp_path):
    async with FakeApiServer() as server:
        server.put("jobs", "old", metadata=OURS)
        async with watching(server, tmp_path) as (heard, _):
            server.put("jobs", "new", metadata=OURS)
            server.put("jobs", "foreign")
            server.put("pods", "pod", metadata=OURS)
            server.remove("jobs", "new")
            await until(lambda: ("job", "DELETED", "new") in heard.events)
            await until(lambda: ("pod", "ADDED", "pod") in heard.events)
        jobs = [event for event in heard.events if event[0] == "job"]
        assert jobs == [("job", "ADDED", "new"), ("job", "DELETED", "new")]
        assert heard.alive >= 2
        (asked,) = queries(server, "jobs", watch=True)
        assert asked["labelSelector"] == labels.SESSION_UID
        assert asked["resourceVersion"] == "101"
        assert asked["allowWatchBookmarks"] == "true"
        assert len(queries(server, "jobs", watch=False)) == 1


@in_loop
async def test_a_watch_that_is_cut_goes_on_from_the_last_version_it_has_seen(tmp_path):
    async with FakeApiServer() as server, watching(server, tmp_path) as (heard, _):
        last = server.put("jobs", "one", metadata=OURS)["metadata"]["resourceVersion"]
        await until(lambda: ("job", "ADDED", "one") in heard.events)
        server.cut_watches("jobs")
        await until(lambda: server.watched("jobs") == 2)
        assert queries(server, "jobs", watch=True)[1]["resourceVersion"] == last
        await until(lambda: len(server.watchers) == 2)
        server.put("jobs", "two", metadata=OURS)
        await until(lambda: ("job", "ADDED", "two") in heard.events)
        assert len(queries(server, "jobs", watch=False)) == 1
        assert heard.lists == []


@in_loop
async def test_where_the_version_is_forgotten_what_went_meanwhile_is_missed(tmp_path):
    async with FakeApiServer() as server:
        server.put("jobs", "stays", metadata=OURS)
        server.put("jobs", "goes", metadata=OURS)
        async with watching(server, tmp_path) as (heard, cache):
            assert {job.name for job in cache.jobs} == {"stays", "goes"}
            server.remove("jobs", "goes", told=False)
            server.put("jobs", "comes", metadata=OURS)
            server.outdate_watches("jobs")
            await until(lambda: heard.lists)
            assert heard.lists[0].pruned == {"jobs": 1}
            assert {job.name for job in cache.jobs} == {"stays", "comes"}
            await until(lambda: server.watched("jobs") == 2)
            assert queries(server, "jobs", watch=True)[1]["resourceVersion"] == "104"


@in_loop
async def test_a_list_that_fails_then_is_made_again(tmp_path):
    async with FakeApiServer() as server, watching(server, tmp_path) as (heard, _):
        server.put("jobs", "one", metadata=OURS)
        await until(lambda: heard.events)
        # The watch opens again from the version that is forgotten, and hears so again.
        server.faults["/jobs"] = [500, 500]
        server.outdate_watches("jobs")
        await until(lambda: server.faults["/jobs"] == [])
        await until(lambda: server.watched("jobs") >= 2)
        server.put("jobs", "two", metadata=OURS)
        await until(lambda: ("job", "ADDED", "two") in heard.events)


@pytest.mark.parametrize("status", [403, 429, 500, 503])
def test_a_server_that_refuses_is_asked_again_and_named(tmp_path, caplog, status):
    async def scenario():
        async with FakeApiServer() as server, watching(server, tmp_path) as (heard, _):
            server.faults["/jobs"] = [status] * 3
            server.cut_watches("jobs")
            await until(lambda: server.faults["/jobs"] == [] and len(server.watchers) == 2)
            server.put("jobs", "one", metadata=OURS)
            await until(lambda: heard.events == [("job", "ADDED", "one")])

    asyncio.run(scenario())
    told = [line for line in caplog.messages if "the watch of jobs ended" in line]
    assert len(told) == 1, "said once, not at each try"


@in_loop
async def test_an_object_that_cannot_be_taken_in_ends_nothing(tmp_path):
    async with FakeApiServer() as server, watching(server, tmp_path) as (heard, _):
        heard.poison.add("poison")
        server.put("jobs", "poison", metadata=OURS)
        server.put("jobs", "next", metadata=OURS)
        await until(lambda: ("job", "ADDED", "next") in heard.events)
        assert server.watched("jobs") == 1


@in_loop
async def test_only_the_given_namespaces_are_watched(tmp_path):
    async with FakeApiServer() as server, watching(server, tmp_path, ("a", "b")):
        paths = {path for _, path, _ in server.requests if path.endswith("/jobs")}
        assert paths == {f"/apis/batch/v1/namespaces/{name}/jobs" for name in ("a", "b")}


def test_a_watch_that_falls_silent_is_taken_for_broken(tmp_path, monkeypatch):
    monkeypatch.setattr("cascade_operator.control.kube.listing._SILENT_SECONDS", 0.2)

    async def scenario():
        async with FakeApiServer() as server, watching(server, tmp_path) as (heard, _):
            await until(lambda: server.watched("jobs") >= 2)
            await until(lambda: len(server.watchers) >= 2)
            server.put("jobs", "one", metadata=OURS)
            await until(lambda: ("job", "ADDED", "one") in heard.events)

    asyncio.run(scenario())
