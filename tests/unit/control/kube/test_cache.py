"""What is held of a cluster: the newest of each object, and nothing that is gone."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.control.kube.cache import DELETED, WatchCache
from cascade_operator.control.kube.port import SessionKey
from fakes.raw_objects import UID, condition, raw_job, raw_pod, raw_session

KEY = SessionKey("team", "triage")
COMPLETE = {"conditions": [condition("Complete")]}


def test_an_older_event_changes_nothing():
    cache = WatchCache()
    assert cache.session_event(None, raw_session(5, status={"phase": "Training"})) == KEY
    assert cache.session_event("MODIFIED", raw_session(4, status={"phase": "Preparing"})) is None
    assert cache.session_event("MODIFIED", raw_session(5)) is None
    assert cache.session(KEY).phase == "Training"


def test_an_event_that_changes_nothing_for_us_wakes_nobody():
    cache = WatchCache()
    job = raw_job(version=2, uid="j")
    assert cache.job_event("ADDED", job) == KEY
    assert cache.job_event("MODIFIED", raw_job(version=3, uid="j")) is None
    assert cache.job_event("MODIFIED", raw_job(version=4, uid="j", status=COMPLETE)) == KEY
    assert cache.pod_event("ADDED", raw_pod(job, 5, uid="p", phase="Pending")) == KEY
    assert cache.pod_event("MODIFIED", raw_pod(job, 6, uid="p", phase="Pending")) is None


def test_an_answer_that_comes_after_the_deletion_does_not_bring_a_job_back():
    cache = WatchCache()
    assert cache.job_event("ADDED", raw_job(uid="j")) == KEY
    assert cache.job_event(DELETED, raw_job(version=3, uid="j")) == KEY
    assert cache.job_event(None, raw_job(version=2, uid="j")) is None
    assert cache.jobs_of(UID) == {}


def test_the_deletion_of_a_namesake_takes_nobody_else_away():
    cache = WatchCache()
    cache.job_event("ADDED", raw_job(uid="old"))
    cache.job_event("ADDED", raw_job(version=7, uid="new"))
    cache.job_event(DELETED, raw_job(version=6, uid="old"))
    assert {name: job.uid for name, job in cache.jobs_of(UID).items()} == {"triage-r1-00": "new"}


def test_a_session_made_again_under_its_name_starts_with_nothing():
    cache = WatchCache()
    cache.session_event(None, raw_session(1))
    cache.job_event(None, raw_job())
    cache.config_map_seen({"name": "triage-r1-config", "uid": "c"}, UID)
    assert cache.session_event("ADDED", raw_session(9, uid="another")) == KEY
    found = cache.session(KEY)
    assert found.uid == "another"
    assert (cache.jobs_of("another"), cache.config_maps_of("another")) == ({}, {})
    assert cache.session_event(DELETED, raw_session(8)) is None
    assert cache.session(KEY) is found


def test_a_pod_whose_job_is_not_known_yet_wakes_its_session():
    cache = WatchCache()
    cache.session_event(None, raw_session(1))
    assert cache.pod_event("ADDED", raw_pod(raw_job(uid="j"), phase="Pending")) == KEY


def test_what_is_gone_is_forgotten_whole():
    cache = WatchCache()
    job = raw_job(uid="j")
    cache.session_event(None, raw_session(1))
    cache.job_event(None, job)
    cache.pod_event(None, raw_pod(job, uid="p"))
    cache.config_map_seen({"name": "c", "uid": "c"}, UID)
    assert cache.pod_event(DELETED, raw_pod(job, 2, uid="p")) == KEY
    assert cache.job_event(DELETED, raw_job(version=2, uid="j")) == KEY
    assert cache.session_event(DELETED, raw_session(2)) == KEY
    assert cache.session(KEY) is None
    assert (len(cache.sessions), len(cache.jobs), len(cache.pods)) == (0, 0, 0)
    assert (cache.jobs_of(UID), list(cache.pods_of("j")), cache.config_maps_of(UID)) == ({}, [], {})


@pytest.mark.parametrize(
    ("found", "changed"),
    [
        pytest.param({UID: {"a": "1"}}, [], id="as known"),
        pytest.param({UID: {"a": "1", "b": "2"}}, [KEY], id="one more"),
        pytest.param({}, [KEY], id="gone"),
        pytest.param({UID: {"a": "1"}, "stranger": {"x": "1"}}, [], id="of no known session"),
    ],
)
def test_a_list_of_config_maps_tells_whose_have_changed(found, changed):
    cache = WatchCache()
    cache.session_event(None, raw_session(1))
    cache.config_map_seen({"name": "a", "uid": "1"}, UID)
    assert cache.replace_config_maps(found) == changed
    assert cache.config_maps_of(UID) == found.get(UID, {})


@given(st.lists(st.integers(1, 30), min_size=1, max_size=12, unique=True), st.integers(0, 9))
def test_the_order_in_which_events_come_does_not_matter(versions, seed):
    """Watch, answers and lists tell of one Job; the newest version stays."""
    events = [
        raw_job(
            version=v, uid="j", status=COMPLETE if v == max(versions) else {"startTime": str(v)}
        )
        for v in versions
    ]
    random.Random(seed).shuffle(events)
    cache = WatchCache()
    for event in events:
        cache.job_event("MODIFIED", event)
    (held,) = cache.jobs_of(UID).values()
    assert (held.version, held.ended) == (max(versions), "Complete")
