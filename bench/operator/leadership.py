"""Restart with many running sessions, and failover between two replicas."""

from __future__ import annotations

import itertools
import time
from typing import Any

from api.operator_process import OperatorProcess
from bench.operator.bed import Bed, apply, held, requests_made, until, until_quiet
from bench.operator.creation import Crowd

_HELD_SECONDS = 600.0
_LATE = "late-"
_NUMBERS = itertools.count()
_UNSEEN = b'"status":{"observedGeneration":-1'


def measure_leadership(bed: Bed, crowd: Crowd) -> dict[str, float]:
    """Stops the crowd's operator, starts another; then two change over, killed and told."""
    before, jobs = _statuses(crowd), _jobs(crowd)
    assert crowd.operator.stop() == 0, crowd.operator.log_tail()
    operator = bed.operator(crowd.namespace)
    begin = time.perf_counter()
    operator.start(wait_seconds=0)
    restart = _until_served(bed, crowd, begin)
    operator.wait_ready()
    until_quiet(crowd.jobs, crowd.statuses)
    after = _statuses(crowd)
    figures = {
        "restart": restart,
        "restart-jobs": len(_jobs(crowd)) - len(jobs),
        "restart-statuses": sum(before[name] != after[name] for name in before),
    }
    second = _standby(bed, crowd)
    operator.kill()
    figures["failover-killed"] = _until_served(bed, crowd)
    third = _standby(bed, crowd)
    begin = time.perf_counter()
    # Its end takes longer than its giving up of the Lease: the other need not wait for it.
    second._signal(15)
    figures["failover-told"] = _until_served(bed, crowd, begin)
    second.stop(), third.stop()
    return figures


def _standby(bed: Bed, crowd: Crowd) -> OperatorProcess:
    operator = bed.operator(crowd.namespace)
    operator.start()
    assert ("post", "leases") not in requests_made(operator)
    return operator


def _until_served(bed: Bed, crowd: Crowd, begin: float | None = None) -> float:
    """Applies a session at once; seconds until it has a status."""
    begin = begin or time.perf_counter()
    name = f"{_LATE}{next(_NUMBERS)}"
    bed.wire.send([apply(crowd.namespace, name, held(_HELD_SECONDS))])
    mark = f'"name":"{name}"'.encode()

    def first_status() -> bool:
        lines = [line for _, line in list(crowd.statuses.lines) if mark in line]
        return any(_UNSEEN not in line for line in lines)

    return until("a first status", first_status) - begin


def _jobs(crowd: Crowd) -> set[str]:
    """All Jobs that there ever were of the sessions that were there before."""
    return {
        job["metadata"]["uid"]
        for _, _, job in crowd.jobs.events()
        if not job["metadata"]["name"].startswith(_LATE)
    }


def _statuses(crowd: Crowd) -> dict[str, Any]:
    """The last status of each session."""
    return {o["metadata"]["name"]: o.get("status") for _, _, o in crowd.statuses.events()}
