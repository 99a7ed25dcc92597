import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from cascade_operator.api.errors import ServiceUnavailable, Terminated
from cascade_operator.training.calls.cache_entries import MAX_STORED, LocalEntries, packed
from cascade_operator.training.calls.call_cache import SingleFlightCache
from cascade_operator.training.calls.lease import LeaseKeeper

_KEY = "cascade:cache:ns:1"


class Computation:
    """Counts how often it runs; waits for its gate where it has one."""

    def __init__(self, value=b"value", gate=None):
        self.value, self.gate, self.runs = value, gate, 0
        self.started = threading.Event()
        self._lock = threading.Lock()

    def __call__(self):
        with self._lock:
            self.runs += 1
        self.started.set()
        if self.gate is not None:
            assert self.gate.wait(10)
        return self.value


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_a_value_is_computed_once_for_all_processes(redis_client):
    compute = Computation()
    first, second = SingleFlightCache(redis_client), SingleFlightCache(redis_client)
    assert first.fetch(_KEY, compute).source == "computed"
    assert first.fetch(_KEY, compute).source == "hit"
    assert second.fetch(_KEY, compute).source == "hit"
    assert second.get_or_compute(_KEY, compute) == b"value"
    assert compute.runs == 1
    assert 0 < redis_client.pttl(_KEY) <= 24 * 3600 * 1000


def test_without_redis_the_process_keeps_its_own(redis_client):
    compute = Computation()
    cache = SingleFlightCache(None)
    assert [cache.get_or_compute(_KEY, compute) for _ in range(3)] == [b"value"] * 3
    assert compute.runs == 1
    assert redis_client.dbsize() == 0


@pytest.mark.parametrize("shared", [True, False], ids=["redis", "memory"])
def test_threads_wait_for_the_one_that_computes(redis_client, shared):
    gate = threading.Event()
    compute = Computation(gate=gate)
    cache = SingleFlightCache(redis_client if shared else None)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(cache.fetch, _KEY, compute) for _ in range(8)]
        assert compute.started.wait(10)
        gate.set()
        sources = sorted(one.result(10).source for one in asked)
    assert compute.runs == 1
    assert sources.count("computed") == 1
    assert cache.figures().computed == 1


def test_jobs_wait_for_the_one_that_holds_the_lease(redis_client):
    gate = threading.Event()
    compute = Computation(gate=gate)
    caches = [SingleFlightCache(redis_client) for _ in range(4)]
    redis_client.config_resetstat()
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(cache.fetch, _KEY, compute) for cache in caches]
        assert compute.started.wait(10)
        # Each tries for the lease before it waits.
        until(lambda: redis_client.info("commandstats")["cmdstat_set"]["calls"] >= 4)
        gate.set()
        sources = sorted(one.result(10).source for one in asked)
    assert compute.runs == 1
    assert sources == ["computed", "wait", "wait", "wait"]
    assert not redis_client.exists(f"{_KEY}:lease")


def test_an_error_reaches_everybody_who_waits_and_is_not_kept(redis_client):
    gate = threading.Event()
    calls = []

    def compute():
        calls.append(1)
        gate.wait(10)
        raise ServiceUnavailable("away")

    cache = SingleFlightCache(redis_client)
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(cache.fetch, _KEY, compute) for _ in range(3)]
        until(lambda: calls)
        time.sleep(0.05)
        gate.set()
        for one in asked:
            with pytest.raises(ServiceUnavailable):
                one.result(10)
    assert not redis_client.exists(f"{_KEY}:lease")
    assert cache.get_or_compute(_KEY, Computation()) == b"value"


def test_the_lease_of_a_dead_job_runs_out(redis_client):
    dead = LeaseKeeper(redis_client, seconds=0.15, renew_every=60)
    assert dead.claim(_KEY, f"{_KEY}:lease") is True
    compute = Computation()
    assert SingleFlightCache(redis_client).fetch(_KEY, compute).source == "computed"
    assert compute.runs == 1


def test_a_lease_is_renewed_while_it_is_held_and_no_longer(redis_client):
    before = set(threading.enumerate())
    keeper = LeaseKeeper(redis_client, seconds=0.3, renew_every=0.05)
    assert keeper.claim("k", "lease") is True
    time.sleep(0.6)
    assert redis_client.exists("lease")
    assert LeaseKeeper(redis_client).claim("k", "lease") is False
    keeper.release("lease")
    assert not redis_client.exists("lease")
    until(lambda: set(threading.enumerate()) <= before)


def test_a_lost_lease_is_not_taken_from_its_new_holder(redis_client):
    keeper = LeaseKeeper(redis_client, seconds=30, renew_every=0.02)
    assert keeper.claim("k", "lease") is True
    redis_client.set("lease", b"another", px=50_000)
    time.sleep(0.1)
    keeper.release("lease")
    assert redis_client.get("lease") == b"another"
    assert redis_client.pttl("lease") > 40_000


def test_the_loser_of_a_race_takes_the_winners_value(redis_client):
    def compute():
        redis_client.set(_KEY, packed(b"winner"))
        return b"loser"

    assert SingleFlightCache(redis_client).get_or_compute(_KEY, compute) == b"winner"


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"garbage",
        packed(b"value")[:-3],
        packed(b"value")[:-1] + b"\x00",
        b"\x28\xb5\x2f\xfd" + b"\xff" * 40,
        packed(b"\x00" * (9 * 1024 * 1024)),
    ],
    ids=["empty", "garbage", "half", "wrong checksum", "wrong frame", "bomb"],
)
def test_a_broken_entry_is_a_miss_and_is_replaced(redis_client, entry):
    redis_client.set(_KEY, entry)
    cache = SingleFlightCache(redis_client)
    assert cache.fetch(_KEY, Computation()).source == "computed"
    assert cache.figures().broken >= 1
    assert SingleFlightCache(redis_client).fetch(_KEY, Computation()).source == "hit"


def test_an_unacceptable_entry_is_a_miss_and_an_unacceptable_value_is_not_kept(redis_client):
    redis_client.set(_KEY, packed(b"bad"))
    cache = SingleFlightCache(redis_client)
    bad = Computation(b"bad again")
    for _ in range(2):
        found = cache.fetch(_KEY, bad, acceptable=lambda v: not v.startswith(b"bad"))
        assert (found.value, found.source) == (b"bad again", "computed")
    assert bad.runs == 2
    assert not redis_client.exists(_KEY)


def test_a_value_too_large_for_redis_stays_in_the_process(redis_client):
    compute = Computation(os.urandom(MAX_STORED + 1))
    cache = SingleFlightCache(redis_client)
    assert cache.get_or_compute(_KEY, compute) == cache.get_or_compute(_KEY, compute)
    assert compute.runs == 1
    assert cache.figures().refused == 1
    assert not redis_client.exists(_KEY)


def test_a_full_redis_is_counted_and_ignored(redis_client):
    redis_client.config_set("maxmemory-policy", "noeviction")
    redis_client.config_set("maxmemory", 1)
    cache = SingleFlightCache(redis_client)
    assert cache.get_or_compute(_KEY, Computation()) == b"value"
    assert cache.figures().refused >= 1


def test_without_an_answer_from_redis_values_are_computed(tmp_path):
    client = redis.Redis(unix_socket_path=str(tmp_path / "nobody"), retry=Retry(NoBackoff(), 0))
    compute = Computation()
    cache = SingleFlightCache(client)
    assert cache.get_or_compute(_KEY, compute) == b"value"
    assert cache.get_or_compute(_KEY, compute) == b"value"
    assert compute.runs == 1


def test_a_job_that_has_to_stop_waits_for_no_other(redis_client):
    assert LeaseKeeper(redis_client).claim(_KEY, f"{_KEY}:lease") is True
    stop = threading.Event()
    threading.Timer(0.05, stop.set).start()
    with pytest.raises(Terminated):
        SingleFlightCache(redis_client, stop=stop).get_or_compute(_KEY, Computation())


class Rider:
    """Commands of the caller's; keeps their answers."""

    def __init__(self, *commands):
        self.given, self.answers = commands, None

    def commands(self):
        return self.given

    def sent(self, answers):
        assert self.answers is None
        self.answers = list(answers)


def commands_of(client):
    stats = client.info("commandstats")
    return {name.removeprefix("cmdstat_"): one["calls"] for name, one in stats.items()}


def test_a_computed_value_costs_two_round_trips_and_a_found_one_one(redis_client):
    redis_client.config_resetstat()
    rider = Rider(("INCRBY", "n", 2))
    SingleFlightCache(redis_client).fetch(_KEY, Computation(), along=rider)
    seen = commands_of(redis_client)
    # A look with a lease, then the publication with what travels along.
    assert (seen["eval"], seen["incrby"], rider.answers) == (2, 1, [2])
    redis_client.config_resetstat()
    unused = Rider(("INCRBY", "n", 2))
    assert SingleFlightCache(redis_client).fetch(_KEY, Computation(), along=unused).source == "hit"
    assert commands_of(redis_client)["eval"] == 1
    assert unused.answers is None
    assert redis_client.get("n") == b"2"
    assert not redis_client.exists(f"{_KEY}:lease")


@pytest.mark.parametrize("value", [b"bad", os.urandom(MAX_STORED + 1)], ids=["bad", "large"])
def test_what_travels_along_does_so_without_a_publication(redis_client, value):
    rider = Rider(("INCRBY", "n", 2))
    cache = SingleFlightCache(redis_client)
    cache.fetch(_KEY, Computation(value), acceptable=lambda v: v != b"bad", along=rider)
    assert (rider.answers, redis_client.exists(_KEY)) == ([2], 0)
    assert not redis_client.exists(f"{_KEY}:lease")


def test_what_redis_refuses_is_told_and_the_lease_is_back(redis_client):
    redis_client.set("n", "no number")
    rider = Rider(("INCRBY", "n", 2))
    assert SingleFlightCache(redis_client).fetch(_KEY, Computation(), along=rider).value == b"value"
    assert isinstance(rider.answers[0], redis.ResponseError)
    assert redis_client.exists(_KEY)
    assert not redis_client.exists(f"{_KEY}:lease")


def test_without_redis_nothing_travels_and_that_is_told():
    rider = Rider(("INCRBY", "n", 2))
    SingleFlightCache(None).fetch(_KEY, Computation(), along=rider)
    assert rider.answers == []


def test_a_publication_that_is_refused_gives_the_lease_back(redis_client):
    def compute():
        redis_client.config_set("maxmemory-policy", "noeviction")
        redis_client.config_set("maxmemory", 1)
        return b"value"

    cache = SingleFlightCache(redis_client)
    assert cache.get_or_compute(_KEY, compute) == b"value"
    assert cache.figures().refused == 1
    assert not redis_client.exists(f"{_KEY}:lease")
    assert not redis_client.exists(_KEY)


def test_many_values_in_one_look(redis_client):
    first, second = SingleFlightCache(redis_client), SingleFlightCache(redis_client)
    first.publish_many({"a": b"1", "b": b"2"})
    redis_client.set("c", b"garbage")
    assert second.get_many(["a", "b", "c", "d"]) == {"a": b"1", "b": b"2"}
    assert second.figures().broken == 1


def test_the_process_keeps_the_latest_used_within_its_bytes():
    kept = LocalEntries(limit=25)
    kept.put("a", b"x" * 9)
    kept.put("b", b"x" * 9)
    assert kept.get("a")
    kept.put("c", b"x" * 9)
    assert [name for name in "abc" if kept.get(name)] == ["a", "c"]
    kept.put("huge", b"x" * 100)
    assert kept.get("huge") is None
