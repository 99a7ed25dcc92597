"""A complete run's best program goes to the session's ConfigMap, once, and status says so."""

import asyncio
import json

from cascade_operator.api.archive_spec import PublishSpec, RedisSpec
from cascade_operator.api.status import Phase
from cascade_operator.control.domain.publication import AGAIN_SECONDS
from cascade_operator.control.loop.reconcile import reconcile_once
from cascade_operator.control.manifests.labels import SESSION_UID
from fakes.cluster import KEY, PROGRAM, UID, FakeCluster, Outcome
from fakes.run_steps import end_all, prepared, settle

NAME = "best-program"


def publishing(least=0.0, name=NAME, **changes):
    """A cluster whose groups are over; its last archive is at work."""
    publish = PublishSpec(config_map=name, min_improvement=least)
    cluster = prepared(publish=publish, **changes)
    for _ in range(2):
        end_all(cluster)
    assert cluster.status.phase is Phase.ARCHIVING
    return cluster


def complete(**changes):
    cluster = publishing(**changes)
    end_all(cluster)
    assert cluster.status.phase is Phase.COMPLETE
    return cluster


def change(cluster, **changes):
    cluster.spec = cluster.spec.model_copy(update=changes)
    cluster.generation += 1


def test_the_best_program_is_published_once():
    cluster = complete()
    manifest = cluster.published[NAME]
    assert manifest["data"]["program.json"].encode() == PROGRAM
    assert json.loads(manifest["data"]["instructions.json"]) == {"n0": "Say it."}
    assert manifest["metadata"]["labels"][SESSION_UID] == UID
    assert "ownerReferences" not in manifest["metadata"]
    told = cluster.status.published
    assert (told.reason, told.run, told.group) == ("Published", 1, "00_01")
    assert told.sha256 == cluster.status.run.program.sha256
    assert cluster.reasons().count("Published") == 1
    cluster.pass_time(10 * AGAIN_SECONDS)
    writes = cluster.writes
    settle(cluster)
    assert (cluster.published_writes, cluster.writes) == (1, writes)


def test_too_little_is_skipped_and_a_lower_bound_publishes_it_later():
    cluster = complete(least=0.5)
    assert cluster.published == {}
    told = cluster.status.published
    assert (told.reason, told.decided_run, told.run) == ("PublishSkipped", 1, 0)
    assert "under publish.minImprovement 0.5" in told.message
    assert cluster.reasons().count("PublishSkipped") == 1
    change(cluster, publish=PublishSpec(config_map=NAME, min_improvement=0.01))
    settle(cluster)
    assert cluster.status.published.reason == "Published"
    assert cluster.status.run.number == 1, "publishing is no reason to train again"


def test_a_failed_run_publishes_nothing():
    cluster = publishing(backoff_limit=0)
    cluster.end("triage-r1-archive-2", Outcome(73))
    settle(cluster)
    assert cluster.status.phase is Phase.FAILED
    assert (cluster.published, cluster.status.published) == ({}, None)


def test_a_foreign_config_map_is_left_alone_until_it_is_gone():
    cluster = publishing()
    cluster.published[NAME] = {"metadata": {"labels": {SESSION_UID: "another"}}, "data": {}}
    end_all(cluster)
    told = cluster.status.published
    assert told.reason == "PublishConflict"
    assert f"{SESSION_UID}={UID}" in told.message
    assert cluster.reasons().count("PublishConflict") == 1
    del cluster.published[NAME]
    assert settle(cluster) == AGAIN_SECONDS
    assert cluster.published == {}
    cluster.pass_time(AGAIN_SECONDS)
    settle(cluster)
    assert cluster.status.published.reason == "Published"


def test_what_cannot_be_had_is_tried_again_for_as_long_as_it_may_be_there():
    cluster = publishing()
    cluster.program = PROGRAM[:-1]
    end_all(cluster)
    assert cluster.status.published.reason == "PublishUnavailable"
    writes = cluster.writes
    cluster.pass_time(AGAIN_SECONDS)
    settle(cluster)
    assert cluster.writes == writes
    cluster.pass_time(14 * 24 * 3600)
    assert settle(cluster) is None


def test_killed_between_the_write_and_the_status_does_no_harm():
    cluster = publishing()
    cluster.end("triage-r1-archive-2")
    while not cluster.published_writes:
        asyncio.run(reconcile_once(cluster, KEY, cluster.now))
    assert cluster.status.published is None
    cluster.publication = None  # the operator is killed, and another begins
    settle(cluster)
    assert cluster.published_writes == 1
    assert cluster.status.published.reason == "Published"
    assert cluster.reasons().count("Published") == 1


def test_a_session_s_own_redis_is_not_read():
    cluster = complete(redis=RedisSpec(url="redis://inside.example:6379"))
    assert cluster.published == {}
    assert cluster.status.published.reason == "PublishUnavailable"
    assert "58_program.json" in cluster.status.published.message


def test_the_operator_s_redis_may_be_named():
    url = FakeCluster().defaults.redis_url
    assert complete(redis=RedisSpec(url=url)).status.published.reason == "Published"


def test_a_run_s_own_config_map_is_no_place():
    cluster = complete(name="triage-r1-config")
    assert cluster.published == {}
    assert cluster.status.published.reason == "PublishConflict"


def test_what_was_published_before_stays_known_when_a_later_run_is_skipped():
    cluster = complete()
    change(cluster, publish=PublishSpec(config_map=NAME, min_improvement=0.9))
    cluster.annotations["cascade-operator.dev/retrain"] = "now"
    settle(cluster)
    for _ in range(4):
        end_all(cluster)
    told = cluster.status.published
    assert cluster.status.phase is Phase.COMPLETE
    assert (told.reason, told.decided_run, told.run) == ("PublishSkipped", 2, 1)


def test_without_a_name_nothing_is_published():
    cluster = prepared(publish=PublishSpec())
    for _ in range(3):
        end_all(cluster)
    assert cluster.status.phase is Phase.COMPLETE
    assert (cluster.published, cluster.status.published) == ({}, None)
