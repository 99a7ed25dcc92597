"""Steps through a run of the in-memory cluster that several tests share."""

import asyncio

from cascade_operator.api.status import Phase
from fakes.cluster import (
    SUCCESS,
    FakeCluster,
    part_of,
    spec_of,
)

PREPARE = "triage-r1-prepare"


def settle(cluster):
    return asyncio.run(cluster.settle())


def prepared(**changes):
    """A cluster whose run has been prepared; its first groups are at work."""
    cluster = FakeCluster(spec=spec_of(**changes))
    settle(cluster)
    cluster.end(PREPARE)
    settle(cluster)
    return cluster


def end_all(cluster, outcome=SUCCESS):
    for name in cluster.live():
        cluster.end(name, outcome)
    settle(cluster)


def group(cluster, key):
    return next(g for g in cluster.status.groups if g.name == key)


def live(cluster):
    return sorted(part_of(cluster.jobs[name]) for name in cluster.live())


def finished():
    cluster = prepared()
    for _ in range(3):
        end_all(cluster)
    assert cluster.status.phase is Phase.COMPLETE
    return cluster
