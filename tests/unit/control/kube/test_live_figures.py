"""Live figures from a real Redis: what is hostile or missing costs nothing but itself."""

import asyncio
import tracemalloc

import pytest

from cascade_operator.api.keys import RunKeys
from cascade_operator.api.records import Progress
from cascade_operator.api.resolve import Defaults
from cascade_operator.control.kube.cluster import KubeCluster
from cascade_operator.control.kube.live_figures import LiveFigures, LiveRun
from cascade_operator.control.loop.live import read_live_figures
from fakes.raw_objects import UID, raw_session

RUN = LiveRun(UID, 1, ("prepare", "00", "01"))
MEBI = 2**20


def key(name):
    return RunKeys(UID, 1).progress(name)


def record(name, **changes):
    return Progress(name=name, stage=41, **changes).model_dump_json(by_alias=True)


NEGATIVE = record("00", done=1)[:-1] + ',"calls":{"modelCalls":-1}}'


def read(url, *runs):
    """Reads twice: what a value has broken does not answer again."""

    async def both():
        figures = LiveFigures(url)
        try:
            first = await figures.read(runs)
            assert await figures.read(runs) == first
            return first
        finally:
            await figures.close()

    return asyncio.run(both())


HOSTILE = [
    pytest.param(lambda client: client.set(key("00"), b"{"), id="no JSON"),
    pytest.param(lambda client: client.set(key("00"), b"[" * 10_000), id="nested"),
    pytest.param(lambda client: client.set(key("00"), b"\xff\xfe"), id="no UTF-8"),
    pytest.param(lambda client: client.set(key("00"), b""), id="empty"),
    pytest.param(lambda client: client.set(key("00"), NEGATIVE), id="a count below 0"),
    pytest.param(lambda client: client.lpush(key("00"), "x"), id="a list"),
    pytest.param(lambda client: client.set(key("00"), record("00") + " " * 20_000), id="too long"),
]


@pytest.mark.parametrize("write", HOSTILE)
def test_a_hostile_value_costs_only_its_own_figures(valkey_socket, redis_client, write):
    write(redis_client)
    redis_client.set(key("01"), record("01", done=3, total=10))
    found = read(f"unix://{valkey_socket}", RUN)
    assert list(found[UID]) == ["01"]
    assert found[UID]["01"].done == 3


def test_a_huge_value_is_not_read_to_its_end(valkey_socket, redis_client):
    redis_client.set(key("00"), b"x" * 64 * MEBI)
    tracemalloc.start()
    try:
        assert read(f"unix://{valkey_socket}", RUN) == {UID: {}}
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 8 * MEBI


def test_an_absent_redis_has_no_figures():
    assert read("unix:///nonexistent.sock", RUN) == {}


@pytest.mark.parametrize(
    ("own", "asked"),
    [
        pytest.param("", True, id="the operator's, unnamed"),
        pytest.param("operator's", True, id="the operator's, by its address"),
        pytest.param("redis://elsewhere:6379", False, id="one of its own"),
    ],
)
def test_only_sessions_of_the_operator_s_redis_are_asked_for(
    valkey_socket, redis_client, own, asked
):
    url = "redis://cascade-redis:6379"
    spec = {"traces": {"import": "bfcl"}}
    if own:
        spec["redis"] = {"url": url if own == "operator's" else own}
    run = {"number": 1, "sessionId": "x", "specHash": "y", "startTime": "2026-03-01T12:00:00Z"}
    groups = [{"name": "00", "nodes": ["a"], "phase": "Running"}]
    status = {"observedGeneration": 1, "phase": "Training", "run": run, "groups": groups}
    redis_client.set(key("00"), record("00", done=3, total=10))

    async def look():
        cluster = KubeCluster(None, defaults=Defaults(redis_url=url))
        cluster.cache.session_event("ADDED", raw_session(spec=spec, status=status))
        figures = LiveFigures(f"unix://{valkey_socket}")
        try:
            changed = await read_live_figures(cluster, figures)
            assert await read_live_figures(cluster, figures) == [], "nothing has changed since"
        finally:
            await figures.close()
        assert bool(changed) is asked
        return cluster.figures

    found = asyncio.run(look())
    assert bool(found) is asked
