"""Live figures reach Redis, and whatever goes wrong with them is never the Job's."""

from __future__ import annotations

import json
import threading
import time

import pytest

from cascade_operator.api.errors import MemoryGateReached
from cascade_operator.api.records import CallFigures, Progress
from cascade_operator.monitoring.progress import ProgressPublisher
from cascade_operator.monitoring.timeline import JobTimeline
from fakes.worker_jobs import closed_redis

KEY = "cascade:{u}:1:progress:00"


def _read(client):
    text = client.get(KEY)
    return None if text is None else Progress.model_validate_json(text)


def _publisher(client, **options):
    return ProgressPublisher(client, KEY, "00", **{"interval": 3600.0} | options)


def test_figures_are_published_at_once_where_that_is_asked(redis_client):
    publisher = _publisher(
        redis_client, calls=lambda: CallFigures(model_calls=3), memory=lambda: (7, 9)
    )
    publisher.update(stage=41, total=8)
    assert _read(redis_client) is None
    publisher.update(done=2, score=0.5, publish=True)
    found = _read(redis_client)
    assert (found.name, found.stage, found.done, found.total) == ("00", 41, 2, 8)
    assert (found.score, found.baseline) == (0.5, None)
    assert (found.memory, found.memory_limit, found.calls.model_calls) == (7, 9, 3)
    assert found.updated > 1e9
    assert 3000 < redis_client.ttl(KEY) <= 3600


def test_figures_are_published_in_the_background(redis_client):
    asked = threading.Event()

    def memory():
        asked.set()
        return 1, 2

    with _publisher(redis_client, memory=memory, interval=0.01) as publisher:
        publisher.update(done=5)
        assert asked.wait(10)
        asked.clear()
        assert asked.wait(10)  # a round that began after the update
        assert _read(redis_client).done == 5


def test_the_last_figures_are_published_at_the_end(redis_client):
    with _publisher(redis_client) as publisher:
        publisher.update(done=6)
    assert _read(redis_client).done == 6


def test_a_job_that_fails_leaves_its_last_figures(redis_client):
    """Its calls were paid for: whoever sums the run up must know of them."""

    def job():
        with _publisher(redis_client) as publisher:
            publisher.update(done=1, publish=True)
            publisher.update(done=2)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        job()
    assert _read(redis_client).done == 2


def test_a_job_that_leaves_waits_for_no_server_that_hangs():
    asked, goes_on = threading.Event(), threading.Event()

    class Hanging:
        def set(self, *_args, **_options):
            asked.set()
            assert goes_on.wait(60)

    with _publisher(Hanging()):
        pass
    assert asked.is_set()
    assert not goes_on.is_set()
    goes_on.set()


def _fails():
    raise OSError("no reading")


@pytest.mark.parametrize(
    ("options", "figures"),
    [
        ({"memory": _fails}, {}),
        ({}, {"score": float("nan")}),
        ({}, {"done": -1}),
    ],
    ids=["reading-failed", "no-number", "out-of-bounds"],
)
def test_figures_that_cannot_be_had_are_left_out(redis_client, options, figures):
    with _publisher(redis_client, **options) as publisher:
        publisher.update(publish=True, **figures)
    assert _read(redis_client) is None


def test_a_redis_that_is_away_does_no_harm():
    with _publisher(closed_redis()) as publisher:
        publisher.update(done=1, publish=True)


def test_a_long_note_is_cut(redis_client):
    publisher = _publisher(redis_client)
    publisher.update(note="x" * 100_000, publish=True)
    assert len(_read(redis_client).note) <= 1024


def _timelines(client):
    return {field.decode(): json.loads(text) for field, text in client.hgetall("timelines").items()}


def test_a_timeline_is_written_in_the_background_and_at_the_end(redis_client):
    timeline = JobTimeline("00", 3)
    publisher = _publisher(
        redis_client,
        memory=lambda: (7, 9),
        interval=0.01,
        timeline=timeline,
        timeline_key="timelines",
    )
    with publisher:
        publisher.update(stage=41)
        deadline = time.monotonic() + 10
        while not (found := _timelines(redis_client)) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert found[timeline.field]["outcome"] == ""
    (ended,) = _timelines(redis_client).values()
    assert (ended["job"], ended["attempt"], ended["outcome"]) == ("00", 3, "Done")
    assert (ended["memory"]["bytes"][0], ended["memoryLimit"]) == (7, 9)
    assert [code for code, _, _ in ended["stages"]] == [41]
    assert redis_client.ttl("timelines") > 86400


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(MemoryGateReached("full"), "MemoryGate"), (ValueError("ours"), "Error")],
    ids=["a-reason", "a-fault"],
)
def test_a_timeline_says_why_its_job_left(redis_client, error, outcome):
    with (
        pytest.raises(type(error)),
        _publisher(redis_client, timeline=JobTimeline("00"), timeline_key="timelines"),
    ):
        raise error
    assert [found["outcome"] for found in _timelines(redis_client).values()] == [outcome]


def test_a_job_that_is_killed_at_once_has_left_a_timeline(redis_client):
    timeline = JobTimeline("00", 3)
    with _publisher(redis_client, timeline=timeline, timeline_key="timelines"):
        deadline = time.monotonic() + 10
        while not (found := _timelines(redis_client)) and time.monotonic() < deadline:
            time.sleep(0.002)
    assert found[timeline.field]["outcome"] == ""


def test_a_timeline_that_cannot_be_written_is_not_the_jobs_failure():
    with _publisher(closed_redis(), timeline=JobTimeline("00"), timeline_key="timelines") as one:
        one.update(stage=41)
