"""A Job's figures are those of all its attempts, and of each call once."""

from __future__ import annotations

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from cascade_operator.api.calls import CallFigures
from cascade_operator.training.calls.job_figures import JobFigures
from cascade_operator.training.calls.meter import CallMeter

_KEY = "cascade:{u}:1:calls:00"


def attempt(client):
    meter = CallMeter()
    job = JobFigures(meter, client, _KEY)
    job.restore()
    return meter, job


def test_an_attempt_goes_on_from_what_the_last_one_kept(redis_client):
    meter, job = attempt(redis_client)
    meter.called(0.1, 10, 2)
    meter.remembered(4, 9)
    assert (
        job.keep()
        == job.keep()
        == CallFigures(
            model_calls=1, memory_hits=4, input_tokens=10, output_tokens=2, saved_tokens=9
        )
    )
    meter.hit(7, waited=True)  # what comes after the last time is lost with the process
    meter, job = attempt(redis_client)
    meter.called(0.1, 10, 2)
    meter.parse_failed()
    figures = job.figures()
    assert (figures.model_calls, figures.saved_calls, figures.parse_failures) == (2, 4, 1)
    assert (figures.logical_calls, figures.tokens) == (6, 24)
    job.keep()
    assert attempt(redis_client)[1].figures() == figures
    assert redis_client.ttl(_KEY) > 0


def test_what_redis_did_not_add_goes_with_the_next(redis_client):
    meter, job = attempt(redis_client)
    meter.called(0.1, 10, 2)
    counts = job.take()
    assert counts == {"model_calls": 1, "input_tokens": 10, "output_tokens": 2}
    assert job.take() == {}
    job.give_back(counts)
    meter.called(0.1, 10, 2)
    job.keep()
    assert redis_client.hget(_KEY, "model_calls") == b"2"


def test_hostile_figures_count_as_none(redis_client):
    redis_client.hset(_KEY, mapping={"model_calls": "many", "waits": "-3", "cache_hits": 10**30})
    figures = attempt(redis_client)[1].figures()
    assert (figures.model_calls, figures.waits, figures.cache_hits) == (0, 0, 10**15)


def test_without_redis_an_attempt_counts_itself(tmp_path):
    away = redis.Redis(unix_socket_path=str(tmp_path / "nobody"), retry=Retry(NoBackoff(), 0))
    for client in (None, away):
        meter, job = attempt(client)
        meter.called(0.1, 10, 2)
        assert job.keep().model_calls == job.figures().model_calls == 1
