"""Whole lives of sessions that are applied ten a second: latencies, and the writes they cost."""

from __future__ import annotations

from typing import Any

from api.custom_resource import sessions_path
from api.scenarios import scenario
from bench.operator.bed import WRITES, Bed, apply, requests_made, until
from bench.operator.ranges import p99
from bench.operator.wire import Recording

_A_SECOND = 10.0
_RUN_SECONDS = "10"
"""Of each Job. Shorter ones keep two cores' API server busy without a pause: then its queue is
measured, not the operator."""

_GROUP = "cascade-operator.dev/group"
_UID = "cascade-operator.dev/session-uid"
_ENDED = ("Succeeded", "Failed")


def measure_lives(bed: Bed, namespace: str, sessions: int) -> dict[str, float]:
    """Applies sessions of fifteen groups, two at a time, and waits until all are complete."""
    bed.namespace(namespace)
    path = sessions_path(namespace)
    operator = bed.operator(namespace)
    operator.start()
    annotations = scenario(**{"run-seconds": _RUN_SECONDS})
    requests = [apply(namespace, f"s-{i:04d}", annotations) for i in range(sessions)]
    with (
        bed.wire.watch(path) as statuses,
        bed.wire.watch(f"/api/v1/namespaces/{namespace}/pods") as pods,
    ):
        applied = bed.wire.send_paced(requests, _A_SECOND)
        until("all complete", lambda: _complete(statuses) >= sessions, seconds=300)
    made = requests_made(operator)
    assert operator.stop() == 0, operator.log_tail()
    jobs = made["post", "jobs"]
    writes = sum(n for (verb, kind), n in made.items() if verb in WRITES and kind != "leases")
    print(f"    {jobs:.0f} Jobs, {writes:.0f} writes: {_writes(made)}")
    first = _first_statuses(statuses)
    waits = [first[f"s-{i:04d}"] - stamp for i, stamp in enumerate(applied)]
    lags = _lags(pods, statuses)
    print(f"    seen after {sorted(lags)[len(lags) // 2]:.2f} s (median of {len(lags)})")
    return {"first-status": p99(waits), "seen": p99(lags), "writes": writes / jobs}


def _writes(made: dict[tuple[str, str], float]) -> str:
    kinds = sorted((verb, kind) for verb, kind in made if verb in WRITES)
    return ", ".join(f"{made[key]:.0f} {key[0]} {key[1]}" for key in kinds)


def _complete(statuses: Recording) -> int:
    done = {line for _, line in list(statuses.lines) if b'"phase":"Complete"' in line}
    mark = b'"uid":"'
    return len({line[line.find(mark) : line.find(mark) + 43] for line in done})


def _first_statuses(statuses: Recording) -> dict[str, float]:
    found: dict[str, float] = {}
    for stamp, _, session in statuses.events():
        if session.get("status", {}).get("observedGeneration", -1) > 0:
            found.setdefault(session["metadata"]["name"], stamp)
    return found


def _lags(pods: Recording, statuses: Recording) -> list[float]:
    """Seconds from when the API server told of a group pod's end to when it told of the status."""
    ended: dict[Any, float] = {}
    for stamp, _, pod in pods.events():
        labels = pod["metadata"].get("labels", {})
        if _GROUP in labels and pod["status"].get("phase") in _ENDED:
            ended.setdefault((labels[_UID], labels[_GROUP]), stamp)
    seen: dict[Any, float] = {}
    for stamp, _, session in statuses.events():
        for group in session.get("status", {}).get("groups", []):
            if group["phase"] in _ENDED:
                seen.setdefault((session["metadata"]["uid"], group["name"]), stamp)
    assert ended.keys() <= seen.keys(), "the status misses groups that ended"
    return [seen[key] - ended[key] for key in ended]
