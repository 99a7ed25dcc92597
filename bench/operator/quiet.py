"""What is measured while nothing happens: idling, and live figures of running sessions."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from api.custom_resource import sessions_path
from api.operator_process import OperatorProcess
from api.ports import free_ports
from bench.operator.bed import Bed, apply, cpu_seconds, held, until
from bench.operator.wire import Recording, Request
from cascade_operator.api.keys import RunKeys
from cascade_operator.api.records import Progress
from fakes.valkey import start_valkey

_WINDOW = 80.0
_RESYNC = 60
"""With its spread a resync comes at most 72 s after the last."""
_SETTLED_SECONDS = 3.0
_PROGRESS = 30.0


def measure_quiet(bed: Bed, finished: int, running: int) -> dict[str, float]:
    """Two operators side by side: one whose sessions are over, one whose sessions run."""
    idle, live = bed.namespace("idle"), bed.namespace("live")
    with _redis() as (client, url), bed.wire.watch(sessions_path(live)) as statuses:
        follower = bed.operator(live, redis=url)
        follower.start()
        keys = _train(bed, live, running, statuses)
        idler = bed.operator(idle, f"--resync={_RESYNC}")
        _make_finished(bed, idle, finished)
        idler.start()
        with _changing(client, keys):
            _until_settled(idler)
            used, begin = cpu_seconds(idler), time.perf_counter()
            time.sleep(_WINDOW)
            end = time.perf_counter()
            share = (cpu_seconds(idler) - used) / (end - begin)
            writes = _writes(statuses, begin, end)
    assert writes, "no live figures were written"
    print(f"    live figures: {sum(map(len, writes.values()))} writes of {len(writes)} sessions")
    assert follower.stop() == 0, follower.log_tail()
    assert idler.stop() == 0, idler.log_tail()
    most = max(_most_within(stamps, _PROGRESS) for stamps in writes.values())
    return {"idle": 100 * share, "progress": most}


def _until_settled(operator: OperatorProcess) -> None:
    """Waits until it has taken in all that was there when it started."""
    last = [cpu_seconds(operator)]

    def rests() -> bool:
        time.sleep(_SETTLED_SECONDS)
        last.append(cpu_seconds(operator))
        return last[-1] - last[-2] < 0.02 * _SETTLED_SECONDS

    until("it rests", rests)


def _train(bed: Bed, namespace: str, sessions: int, statuses: Recording) -> list[str]:
    """Has sessions run all their groups; returns the Redis keys of their figures."""
    optimizer = {"candidates": 2, "trials": 16, "lattice": False}
    bed.wire.send(
        apply(namespace, f"s-{i}", held(3), parallelism=15, optimizer=optimizer)
        for i in range(sessions)
    )

    def training() -> list[Any]:
        last = {o["metadata"]["name"]: o for _, _, o in statuses.events()}
        ready = [o for o in last.values() if _running(o) == 15]
        return ready if len(ready) == sessions else []

    until("groups of all run", training)
    return [
        RunKeys(o["metadata"]["uid"], o["status"]["run"]["number"]).progress(group["name"])
        for o in training()
        for group in o["status"]["groups"]
    ]


def _running(session: dict[str, Any]) -> int:
    groups = session.get("status", {}).get("groups", [])
    return sum(group["phase"] == "Running" for group in groups)


def _make_finished(bed: Bed, namespace: str, count: int) -> None:
    """Makes sessions that an operator has finished: the status of one that was, on each."""
    operator = bed.operator(namespace)
    operator.start()
    path = sessions_path(namespace)
    bed.wire.send([apply(namespace, "first", {}, parallelism=15)])
    done = until_complete(bed, f"{path}/first")
    assert operator.stop() == 0
    names = [f"s-{i:04d}" for i in range(count - 1)]
    bed.wire.send(apply(namespace, name, {}, parallelism=15) for name in names)
    patch = json.dumps({"status": done}).encode()
    kind = "application/merge-patch+json"
    bed.wire.send(Request("PATCH", f"{path}/{name}/status", patch, kind) for name in names)


def until_complete(bed: Bed, path: str) -> dict[str, Any]:
    """Waits for a session's completion; returns its status."""
    until("complete", lambda: bed.rest.get(path)["status"].get("phase") == "Complete")
    time.sleep(1)  # whatever it writes after
    status: dict[str, Any] = bed.rest.get(path)["status"]
    return status


@contextmanager
def _changing(client: redis.Redis, keys: list[str]) -> Iterator[None]:
    """Each second every Job publishes other figures."""
    stop = threading.Event()

    def publish() -> None:
        step = 0
        while not stop.wait(1):
            step += 1
            client.mset({key: _progress(key, step) for key in keys})

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _progress(key: str, step: int) -> str:
    name = key.rpartition(":")[2]
    figures = {"name": name, "stage": 41, "done": step, "total": 1000, "score": 0.5}
    figures["calls"] = {"modelCalls": step}
    return Progress.model_validate(figures).model_dump_json(by_alias=True)


@contextmanager
def _redis() -> Iterator[tuple[redis.Redis, str]]:
    (port,) = free_ports(1)
    with (
        tempfile.TemporaryDirectory(prefix="cb-") as folder,
        start_valkey(Path(folder), "--port", str(port)) as socket,
        redis.Redis(unix_socket_path=socket) as client,
    ):
        yield client, f"redis://127.0.0.1:{port}/0"


def _writes(statuses: Recording, begin: float, end: float) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for stamp, _, session in statuses.events():
        if begin <= stamp <= end:
            found.setdefault(session["metadata"]["name"], []).append(stamp)
    return found


def _most_within(stamps: list[float], seconds: float) -> int:
    # Half a second of tolerance: what is spaced by the clock of one side is seen by another's.
    return max(sum(0 <= other - one < seconds - 0.5 for other in stamps) for one in stamps)
