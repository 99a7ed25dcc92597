"""One turn of the loop: order of its effects, and what it does with errors."""

import asyncio

import pytest

from cascade_operator.control.domain.model import PROGRESS_SECONDS
from cascade_operator.control.kube.port import (
    ClusterError,
    ConflictError,
    NameConflictError,
    NotFoundError,
    RefusedError,
)
from cascade_operator.control.loop.reconcile import (
    AFTER_CONFLICT_SECONDS,
    AFTER_CREATION_SECONDS,
    reconcile_once,
)
from fakes.cluster import KEY, FakeCluster


def turn(cluster):
    return asyncio.run(reconcile_once(cluster, KEY, cluster.now))


def refuse(error):
    def raises():
        raise error

    return raises


def test_a_session_that_is_gone_is_forgotten():
    assert turn(FakeCluster(gone=True)) is None


def test_a_written_status_asks_for_another_turn_at_once():
    cluster = FakeCluster()
    assert turn(cluster) == 0.0
    assert (cluster.writes, cluster.reasons()) == (1, ["RunStarted"])
    assert cluster.jobs == {}


def test_children_are_made_without_a_needless_write():
    cluster = FakeCluster()
    turn(cluster)
    wait = turn(cluster)
    assert list(cluster.jobs) == ["triage-r1-prepare"]
    # What a queue makes of a Job stands in the answer to its creation, and in no event after it.
    assert (cluster.writes, wait) == (1, AFTER_CREATION_SECONDS)
    assert turn(cluster) == PROGRESS_SECONDS
    assert cluster.writes == 1


def test_events_wait_for_a_write_that_succeeds():
    cluster = FakeCluster(before_status_write=refuse(ConflictError("stale")))
    assert turn(cluster) == AFTER_CONFLICT_SECONDS
    assert cluster.events == []
    cluster.before_status_write = lambda: None
    turn(cluster)
    assert cluster.reasons() == ["RunStarted"]


def test_a_session_that_goes_during_the_turn_is_forgotten():
    cluster = FakeCluster(before_status_write=refuse(NotFoundError("gone")))
    assert turn(cluster) is None
    assert cluster.events == []


def test_a_name_that_belongs_to_something_else_is_told_and_tried_again():
    cluster = FakeCluster(foreign_names={"triage-r1-prepare"})
    turn(cluster)
    with pytest.raises(NameConflictError, match="something else"):
        turn(cluster)
    assert cluster.writes == 1
    cluster.foreign_names.clear()
    turn(cluster)
    assert list(cluster.jobs) == ["triage-r1-prepare"]


def test_other_errors_are_the_queues():
    cluster = FakeCluster(before_status_write=refuse(ClusterError("503")))
    with pytest.raises(ClusterError, match="503"):
        turn(cluster)
    assert cluster.events == []


def test_a_refused_child_holds_up_nothing_else():
    cluster = FakeCluster(refused_names={"triage-r1-00"})
    asyncio.run(cluster.settle())
    cluster.end("triage-r1-prepare")
    turn(cluster)
    with pytest.raises(RefusedError, match="quota"):
        turn(cluster)
    assert cluster.live() == ["triage-r1-01"]
    cluster.end("triage-r1-01")
    with pytest.raises(RefusedError, match="quota"):
        turn(cluster)
    assert [g.phase for g in cluster.status.groups[:2]] == ["Running", "Succeeded"]
    cluster.refused_names.clear()
    turn(cluster)
    assert cluster.live() == ["triage-r1-00"]
