"""A failed run taken up again: what failed is tried afresh, what succeeded is not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cascade_operator.api.records import Failure
from cascade_operator.api.status import GroupPhase, Phase
from cascade_operator.control.domain.reopen import reopened
from fakes.cluster import FakeCluster, Outcome
from fakes.run_steps import PREPARE, end_all, finished, group, live, prepared, settle

BAD = Outcome(64, message=Failure(exit_code=64, message="no such function"))
REFUSED = Outcome(73, message=Failure(exit_code=73, message="the volume is full"))


def take_up(cluster):
    cluster.status = reopened(cluster.status, cluster.now)
    settle(cluster)


def archives_of(cluster):
    return [name for name in cluster.live() if "archive" in name]


def test_groups_that_succeeded_are_not_run_again():
    cluster = prepared()
    cluster.end("triage-r1-00", BAD)
    settle(cluster)
    for _ in range(4):
        end_all(cluster)
    assert cluster.status.phase is Phase.FAILED
    take_up(cluster)
    assert cluster.status.phase is Phase.PREPARING
    assert group(cluster, "01").phase is GroupPhase.SUCCEEDED
    for _ in range(5):
        end_all(cluster)
    assert cluster.status.phase is Phase.COMPLETE
    assert cluster.created["triage-r1-01"] == 1
    assert "triage-r1-01-a2" not in cluster.created
    assert [entry.number for entry in cluster.status.history] == [1]


def test_an_archive_that_could_not_be_written_is_all_that_is_done_again():
    cluster = prepared(backoff_limit=0)
    while live(cluster) != ["archive"] or group(cluster, "00_01").phase is GroupPhase.PENDING:
        for name in cluster.live():
            cluster.end(name)
            break
        settle(cluster)
    (archive,) = archives_of(cluster)
    cluster.end(archive, REFUSED)
    settle(cluster)
    for _ in range(3):
        for name in archives_of(cluster):
            cluster.end(name, REFUSED)
        for name in set(cluster.live()) - set(archives_of(cluster)):
            cluster.end(name)
        settle(cluster)
    assert cluster.status.phase is Phase.FAILED
    made = set(cluster.created)
    take_up(cluster)
    end_all(cluster)
    assert cluster.status.phase is Phase.COMPLETE
    assert all("archive" in name for name in set(cluster.created) - made)


def test_a_prepare_that_failed_is_tried_again():
    cluster = FakeCluster()
    settle(cluster)
    cluster.end(PREPARE, BAD)
    settle(cluster)
    assert cluster.status.phase is Phase.FAILED
    take_up(cluster)
    assert live(cluster) == ["prepare"]
    assert cluster.status.run.prepare.attempt == 2


def test_the_time_between_does_not_count():
    cluster = prepared()
    cluster.end("triage-r1-00", BAD)
    settle(cluster)
    for _ in range(4):
        end_all(cluster)
    cluster.pass_time(timedelta(days=3).total_seconds())
    take_up(cluster)
    end_all(cluster)
    arguments = cluster.arguments("triage-r1-00-a2")
    assert int(arguments[arguments.index("--seconds-left") + 1]) == 24 * 3600


@pytest.mark.parametrize("make", [prepared, finished], ids=["running", "complete"])
def test_a_run_that_has_not_failed_stays_as_it_is(make):
    cluster = make()
    assert reopened(cluster.status, cluster.now) is cluster.status
