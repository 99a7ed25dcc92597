from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from cascade_operator.api.errors import CascadeError, ServiceUnavailable
from cascade_operator.api.keys import RunKeys
from cascade_operator.api.status import StopReason
from cascade_operator.training.calls.budget import (
    BudgetCounters,
    BudgetExceeded,
    BudgetLimits,
    Price,
    Spent,
)
from cascade_operator.training.calls.meter import CallMeter

_KEYS = RunKeys("uid", 3)


def settle(counters, client=None):
    """What the cache does once a call is answered; without a client nothing went with it."""
    settlement = counters.settlement()
    settlement.took(10, 5, Price(2.0, 6.0))
    commands = settlement.commands()
    settlement.sent([client.execute_command(*one) for one in commands] if client else [])


@pytest.fixture(params=["redis", "memory"])
def client(request):
    return request.getfixturevalue("redis_client") if request.param == "redis" else None


def test_calls_of_all_threads_stop_exactly_at_the_limit(client):
    counters = BudgetCounters(client, _KEYS, BudgetLimits(calls=20))

    def reserve(_):
        try:
            counters.reserve_call()
        except BudgetExceeded as error:
            return error.stop_reason
        return None

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(reserve, range(50)))
    assert outcomes.count(None) == 20
    assert set(outcomes) == {None, StopReason.CALL_BUDGET}
    assert counters.spent().calls == 20


@pytest.mark.parametrize(
    ("limits", "allowed"),
    [
        (BudgetLimits(tokens=30), 2),
        (BudgetLimits(cost=0.0001), 2),
        (BudgetLimits(tokens=31), 3),
        (BudgetLimits(cost=0), 0),
        (BudgetLimits(), 5),
    ],
)
def test_tokens_and_cost_stop_the_call_after_they_are_used_up(client, limits, allowed):
    counters = BudgetCounters(client, _KEYS, limits)
    for _ in range(allowed):
        counters.reserve_call()
        settle(counters, client)
    if limits != BudgetLimits():
        with pytest.raises(BudgetExceeded) as caught:
            counters.reserve_call()
        assert caught.value.stop_reason is StopReason.TOKEN_BUDGET
    assert counters.spent() == Spent(allowed, allowed * 15, allowed * 50)


def test_a_reservation_can_be_given_back(client):
    counters = BudgetCounters(client, _KEYS, BudgetLimits(calls=1))
    counters.reserve_call()
    counters.return_call()
    counters.reserve_call()
    assert counters.spent().calls == 1


def test_the_high_water_mark_only_raises(client):
    counters = BudgetCounters(client, _KEYS, BudgetLimits(tokens=99))
    counters.reserve_call()
    counters.restore(Spent(10, 0, 500))
    counters.restore(Spent(5, 7, 100))
    assert counters.spent() == Spent(10, 7, 500)
    assert counters.spent().cost == pytest.approx(0.0005)


def test_the_counters_stand_where_the_operator_looks_and_expire(redis_client):
    BudgetCounters(redis_client, _KEYS, BudgetLimits(calls=9)).reserve_call()
    assert redis_client.get(_KEYS.counter("calls")) == b"1"
    assert redis_client.ttl(_KEYS.counter("calls")) > 0


@pytest.mark.parametrize("travels", [True, False], ids=["with-the-answer", "by-itself"])
def test_what_a_call_took_is_counted_once(redis_client, travels):
    for limits in (BudgetLimits(), BudgetLimits(calls=9)):
        redis_client.flushdb()
        counters = BudgetCounters(redis_client, _KEYS, limits)
        for _ in range(3):
            counters.reserve_call()
            settle(counters, redis_client if travels else None)
        settle_with_what_waits = counters.settlement()
        settle_with_what_waits.sent(
            [redis_client.execute_command(*settle_with_what_waits.commands()[0])]
        )
        calls = 3 if limits.calls else 4
        assert counters.spent() == Spent(calls, 45, 150)


def test_without_limits_a_redis_that_is_away_stops_no_call(tmp_path, redis_client):
    client = redis.Redis(unix_socket_path=str(tmp_path / "nobody"), retry=Retry(NoBackoff(), 0))
    counters = BudgetCounters(client, _KEYS, BudgetLimits())
    counters.reserve_call()
    settle(counters)
    limited = BudgetCounters(client, _KEYS, BudgetLimits(tokens=99))
    with pytest.raises(ServiceUnavailable):
        settle(limited)


def test_a_budget_is_not_guessed(tmp_path):
    client = redis.Redis(unix_socket_path=str(tmp_path / "nobody"), retry=Retry(NoBackoff(), 0))
    with pytest.raises(ServiceUnavailable) as caught:
        BudgetCounters(client, _KEYS, BudgetLimits(calls=1)).reserve_call()
    assert caught.value.mend


def test_running_out_is_one_of_the_errors_that_cross_borders():
    assert issubclass(BudgetExceeded, CascadeError)


def test_the_meter_adds_up_over_threads():
    meter = CallMeter()

    def work(_):
        meter.called(0.5, 10, 2)
        meter.hit(7, waited=True)
        meter.hit(5, waited=False)
        meter.remembered(3, 9)
        meter.server_failed()
        meter.parse_failed()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(100)))
    reading = meter.reading()
    assert (reading.saved, reading.seconds) == (2100, pytest.approx(50.0))
    figures = meter.figures()
    assert figures.model_dump() == {
        "model_calls": 100,
        "cache_hits": 200,
        "waits": 100,
        "memory_hits": 300,
        "failed_attempts": 100,
        "input_tokens": 1000,
        "output_tokens": 200,
        "saved_tokens": 2100,
        "parse_failures": 100,
    }
