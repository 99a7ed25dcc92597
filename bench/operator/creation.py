"""Jobs created a second: by the operator for sessions that start at once, and by a bare client."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from api.operator_process import OperatorProcess
from bench.operator.bed import (
    Bed,
    apply,
    cpu_seconds,
    held,
    memory_mb,
    turns,
    until,
    until_quiet,
)
from bench.operator.wire import Recording, Request

GROUPS = 15
_STAGE = "cascade-operator.dev/stage"
_PREPARE_SECONDS = 6.0
_SERVERS_OWN = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields")


@dataclass(slots=True)
class Crowd:
    """Sessions whose groups all run, and the operator that serves them."""

    namespace: str
    sessions: int
    operator: OperatorProcess
    jobs: Recording
    statuses: Recording


@contextmanager
def measure_creation(
    bed: Bed, team: str, bare: str, sessions: int
) -> Iterator[tuple[dict[str, float], Crowd]]:
    """Applies sessions at once; yields the figures, with the sessions still running."""
    bed.namespace(team), bed.namespace(bare)
    with (
        bed.wire.watch(_jobs(team), metadata_only=True) as jobs,
        bed.wire.watch(
            f"/apis/cascade-operator.dev/v1alpha1/namespaces/{team}/trainingsessions"
        ) as statuses,
    ):
        operator = bed.operator(team)
        operator.start()
        crowd = Crowd(team, sessions, operator, jobs, statuses)
        figures = _own(bed, crowd)
        figures["creation-ratio"] = figures["creation-rate"] / _bare(bed, crowd, bare)
        yield figures, crowd


def _own(bed: Bed, crowd: Crowd) -> dict[str, float]:
    wait = _PREPARE_SECONDS + crowd.sessions * 0.08
    annotations = held(wait)
    optimizer = {"candidates": 2, "trials": 16, "lattice": False}
    spec: dict[str, Any] = {"parallelism": GROUPS, "optimizer": optimizer}
    bed.wire.send(
        apply(crowd.namespace, f"s-{i:04d}", annotations, **spec) for i in range(crowd.sessions)
    )
    wanted = crowd.sessions * GROUPS
    until("all prepare", lambda: _running_pods(bed, crowd.namespace) >= crowd.sessions)
    before, turns_before = cpu_seconds(crowd.operator), turns(crowd.operator)
    with _undisturbed(bed):
        until("all groups", lambda: len(_created(crowd.jobs)) >= crowd.sessions * (GROUPS + 1))
    until_quiet(crowd.jobs, crowd.statuses)
    groups = sorted(_groups(crowd.jobs))
    assert len(groups) == wanted, f"{len(groups)} group Jobs instead of {wanted}"
    used = cpu_seconds(crowd.operator) - before
    memory = memory_mb(crowd.operator)
    print(f"    {turns(crowd.operator) - turns_before:.0f} turns, {used:.1f} s of CPU time")
    print(f"    {memory_mb(crowd.operator, 'VmRSS'):.0f} MB resident, {memory:.0f} MB at most")
    return {
        "creation-rate": (wanted - 1) / (groups[-1] - groups[0]),
        "creation-cpu": 1e3 * used / wanted,
        "memory": memory,
    }


def _bare(bed: Bed, crowd: Crowd, namespace: str) -> float:
    """Jobs a second of a bare client: the very Jobs, in another namespace, with an owner there."""
    owner = bed.rest.create(
        f"/api/v1/namespaces/{namespace}/configmaps",
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}},
    )
    reference = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "controller": True,
        "name": "owner",
        "uid": owner["metadata"]["uid"],
        "blockOwnerDeletion": True,
    }
    query = {"labelSelector": f"{_STAGE}=group"}
    found = bed.rest.get(_jobs(crowd.namespace), **query, limit=crowd.sessions * GROUPS)["items"]
    requests = [_again(job, namespace, reference) for job in found]
    with bed.wire.watch(_jobs(namespace), metadata_only=True) as jobs:
        with _undisturbed(bed):
            bed.wire.send(requests)
            until("all Jobs", lambda: len(_created(jobs)) >= len(requests))
        until_quiet(jobs)
        stamps = sorted(_groups(jobs))
    rate = (len(stamps) - 1) / (stamps[-1] - stamps[0])
    print(f"    a bare client: {rate:.0f} Jobs a second", flush=True)
    return rate


@contextmanager
def _undisturbed(bed: Bed) -> Iterator[None]:
    """Has the cluster's controllers stand still: what they do with new Jobs takes the same cores.

    In a cluster they have cores of their own.
    """
    others = (bed.plane.controller_manager, bed.plane.scheduler)
    for component in others:
        component.pause()
    try:
        yield
    finally:
        for component in others:
            component.resume()


def _running_pods(bed: Bed, namespace: str) -> int:
    path = f"/api/v1/namespaces/{namespace}/pods"
    return len(bed.rest.get(path, fieldSelector="status.phase=Running")["items"])


def _again(job: dict[str, Any], namespace: str, owner: dict[str, Any]) -> Request:
    """The request that made a Job, for another namespace: without what the server has added."""
    made = copy.deepcopy(job)
    metadata = {k: v for k, v in made["metadata"].items() if k not in _SERVERS_OWN}
    metadata |= {"namespace": namespace, "ownerReferences": [owner]}
    spec = made["spec"]
    spec.pop("selector", None)
    labels = spec["template"]["metadata"]["labels"]
    for part in (labels, metadata["labels"]):
        for name in [n for n in part if n.rpartition("/")[2] in ("controller-uid", "job-name")]:
            del part[name]
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}
    return Request("POST", f"{_jobs(namespace)}?fieldValidation=Strict", json.dumps(body).encode())


def _jobs(namespace: str) -> str:
    return f"/apis/batch/v1/namespaces/{namespace}/jobs"


def _created(jobs: Recording) -> list[float]:
    """When each Job was there; without parsing, as it is asked for again and again."""
    return [stamp for stamp, line in list(jobs.lines) if line.startswith(b'{"type":"ADDED"')]


def _groups(jobs: Recording) -> list[float]:
    return [
        stamp
        for stamp, kind, job in jobs.events()
        if kind == "ADDED" and job["metadata"]["labels"].get(_STAGE) == "group"
    ]
