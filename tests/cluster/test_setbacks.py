"""What sets a session back on a real node, and that it finishes each time."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from api.rest import wait_for
from cascade_operator.api.quantity import parse_quantity
from cascade_operator.control.manifests.labels import GROUP
from cluster.sessions import (
    THREE_GROUPS,
    archive_files,
    log_of,
    succeeded,
    ticket_session_on,
    wait_end,
    wait_trials,
)


@contextmanager
def _sampled(session) -> Iterator[list[int]]:
    """Samples the sum of the limits of a session's pods that have not ended, every second."""
    sums: list[int] = []
    ended = threading.Event()

    def run():
        while not ended.wait(1):
            sums.append(
                sum(
                    parse_quantity(container["resources"]["limits"]["memory"])
                    for pod in session.pods().values()
                    if pod["status"]["phase"] in ("Pending", "Running")
                    for container in pod["spec"]["containers"]
                )
            )

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield sums
    finally:
        ended.set()
        thread.join()


def test_a_group_over_its_limit_gets_more_within_the_budget(bed, team, models):
    session = ticket_session_on(
        bed,
        team,
        models.url,
        groups=THREE_GROUPS,
        parallelism=3,
        # Less than the interpreter and its libraries take.
        resources={
            "group": {"limits": {"memory": "40Mi"}},
            "prepare": {"limits": {"memory": "1Gi"}},
        },
        memory={"budget": "2Gi", "maxPerJob": "1Gi", "escalationFactor": 4},
    )
    with _sampled(session) as sums:
        groups = succeeded(wait_end(bed, session))
    assert all(group["attempt"] > 1 for group in groups.values()), groups
    assert all(parse_quantity(group["memoryLimit"]) > 40 << 20 for group in groups.values()), groups
    assert len(sums) > 5
    assert 0 < max(sums) <= 2 << 30, max(sums)


def test_a_suspended_session_goes_on_at_the_same_trial(bed, team, models):
    models.delay = 0.5
    session = ticket_session_on(
        bed,
        team,
        models.url,
        groups={"include": [["classify"]]},
        optimizer={"candidates": 6, "trials": 6},
    )
    pod, before = wait_trials(bed, session, "00", 2)
    session.patch(suspend=True)
    started = time.monotonic()
    wait_for("the pod has ended", lambda: pod not in session.pods())
    took = time.monotonic() - started
    assert took < 15, took
    session.wait_phase("Suspended")
    session.patch(suspend=False)
    resumed, after = wait_trials(bed, session, "00", 2)
    assert resumed != pod
    models.delay = 0.0
    said = re.search(r"goes on after trial (\d+)", log_of(bed, session, resumed))
    assert said is not None, log_of(bed, session, resumed)
    assert int(said[1]) >= before[-1], "no finished trial is lost"
    # The last one of before is told again, then comes the next.
    assert after[:2] == [int(said[1]), int(said[1]) + 1]
    groups = succeeded(wait_end(bed, session))
    assert groups["00"]["attempt"] == 1


def _restart_node(operator):
    operator.bed.node.restart()


def _kill(component):
    def kill(operator):
        (pod,) = operator.ready(component)
        path = f"/api/v1/namespaces/{operator.namespace}/pods/{pod['metadata']['name']}"
        operator.bed.rest.delete(path, gracePeriodSeconds=0)
        uid = pod["metadata"]["uid"]
        wait_for(
            f"another {component} is ready",
            lambda: any(p["metadata"]["uid"] != uid for p in operator.ready(component)),
        )

    return kill


@pytest.mark.parametrize(
    "setback",
    [_restart_node, _kill("operator"), _kill("redis")],
    ids=["node-restarted", "operator-killed", "redis-killed"],
)
def test_a_session_finishes_after(bed, operator, team, models, setback):
    models.delay = 0.3
    session = ticket_session_on(bed, team, models.url, groups=THREE_GROUPS, parallelism=2)
    wait_trials(bed, session, "00", 1)
    setback(operator)
    models.delay = 0.0
    groups = succeeded(wait_end(bed, session))
    assert set(groups) == {"00", "02", "00_02"}
    files = archive_files(bed, team)
    assert len(files) == 2, files
    counted = {name: group["attempt"] for name, group in groups.items()}
    # A worker whose server was away may try again; none that had finished is trained again.
    assert sum(counted.values()) <= 2 * len(counted), counted


def _lose_redis(operator):
    """The server ends, its disk is lost, and another one starts empty."""
    name = f"{operator.fullname}-redis"
    path = f"/apis/apps/v1/namespaces/{operator.namespace}/statefulsets/{name}"
    operator.bed.rest.merge(path, {"spec": {"replicas": 0}})
    wait_for("Redis is away", lambda: not operator.pods("redis"))
    operator.bed.storage.lose(operator.namespace, f"data-{name}-0")
    operator.bed.rest.merge(path, {"spec": {"replicas": 1}})
    wait_for("another Redis is ready", lambda: operator.ready("redis"))


@pytest.mark.parametrize(
    ("setback", "prepared"),
    [(_kill("redis"), 1), (_lose_redis, 2)],
    ids=["volume-kept", "volume-lost"],
)
def test_a_group_in_an_archive_is_not_trained_again_after_redis(
    bed, operator, team, models, setback, prepared
):
    session = ticket_session_on(bed, team, models.url, groups=THREE_GROUPS, parallelism=2)
    session.wait("two groups have finished", lambda s: s.get("groupsSucceeded") == 2, seconds=240)
    # The third one goes on for as long as the test needs.
    models.delay = 1.5
    session.wait(
        "an archive holds the two",
        lambda s: {"00", "02"} <= set(s["run"].get("archivedGroups", [])),
    )
    before = _trained(session)
    wait_trials(bed, session, "00_02", 1)
    models.requests.clear()
    setback(operator)
    models.delay = 0.0
    status = wait_end(bed, session)
    groups = succeeded(status)
    assert (groups["00"]["attempt"], groups["02"]["attempt"]) == (1, 1)
    after = _trained(session)
    assert (after["00"], after["02"]) == (before["00"], before["02"])
    lost = [event["message"] for event in session.events() if event["reason"] == "GroupLost"]
    # The third may have ended with the new server before anyone missed the old one's data.
    assert all(message.startswith("group 00_02 ") for message in lost), lost
    assert status["run"]["prepare"]["attempt"] == prepared, status["run"]
    assert not [body for body in models.bodies if "proposed_instruction" in json.dumps(body)], (
        "candidates stand in the archive, and are not proposed again"
    )
    assert len(archive_files(bed, team)) == 2


def _trained(session):
    """The uids of the Jobs of each group."""
    found = {}
    for job in session.group_jobs().values():
        found.setdefault(job["metadata"]["labels"][GROUP], set()).add(job["metadata"]["uid"])
    return found
