"""The work queue: each key once, one turn at a time, nothing lost."""

import asyncio
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.control.loop.queue import (
    COALESCE_SECONDS,
    MOST_BACKOFF,
    SPACING_SECONDS,
    WorkQueue,
)
from fakes.quick_loop import run_quickly


def now():
    return asyncio.get_running_loop().time()


async def taken(queue, seconds=0.001):
    """The next key and when it came; None where none is due for so long."""
    try:
        key, _ = await asyncio.wait_for(queue.get(), seconds)
    except TimeoutError:
        return None
    return key, round(now(), 3)


def test_events_of_one_moment_are_one_turn():
    async def run():
        queue = WorkQueue()
        for _ in range(5):
            queue.add("a")
        first = await taken(queue, 10)
        queue.done("a")
        return first, await taken(queue, 10)

    assert run_quickly(run()) == (("a", COALESCE_SECONDS), None)


def test_a_key_that_is_added_in_its_turn_has_another_after_it():
    async def run():
        queue = WorkQueue()
        queue.add("a", 0)
        await taken(queue, 1)
        queue.add("a", 0)
        during = await taken(queue, 5)
        queue.done("a")
        return during, (await taken(queue, 5))[0]

    assert run_quickly(run()) == (None, "a")


def test_events_after_a_turn_wait_for_each_other():
    async def run():
        queue = WorkQueue()
        queue.notice("a")
        _, first = await taken(queue, 1)
        queue.done("a")
        for _ in range(3):
            queue.notice("a")
        _, second = await taken(queue, 1)
        queue.done("a")
        await asyncio.sleep(1)
        began = now()
        queue.notice("a")
        _, third = await taken(queue, 1)
        return round(second - first, 3), round(third - began, 3)

    assert run_quickly(run()) == (SPACING_SECONDS, COALESCE_SECONDS)


def test_the_earlier_of_two_times_counts():
    async def run():
        queue = WorkQueue()
        queue.add("a", 300)
        queue.add("a", 2)
        queue.add("a", 60)
        first = await taken(queue, 1000)
        queue.done("a")
        return first, await taken(queue, 1000)

    assert run_quickly(run()) == (("a", 2.0), None)


def test_keys_come_when_they_are_due():
    async def run():
        queue = WorkQueue()
        queue.add("late", 3)
        queue.add("soon", 1)
        queue.add("now", 0)
        return [await taken(queue, 10) for _ in range(3)]

    assert run_quickly(run()) == [("now", 0.0), ("soon", 1.0), ("late", 3.0)]


def test_a_failing_key_waits_longer_each_time_and_within_a_minute():
    async def run():
        queue = WorkQueue(jitter=random.Random(1))
        waits = []
        for _ in range(12):
            waits.append(queue.retry("a"))
            await taken(queue, 1000)
            queue.done("a")
        queue.succeeded("a")
        return waits, queue.retry("a")

    waits, after_success = run_quickly(run())
    assert [0.4 <= w / min(0.5 * 2**n, MOST_BACKOFF) <= 1.25 for n, w in enumerate(waits)] == [
        True
    ] * 12
    assert max(waits) <= MOST_BACKOFF * 1.2
    assert after_success <= 0.6


def test_a_backoff_grows_to_what_the_caller_says():
    async def run():
        queue = WorkQueue(jitter=random.Random(1))
        return max(queue.retry("a", most=5.0) for _ in range(12))

    assert 4.0 <= run_quickly(run()) <= 6.0


def test_a_server_that_asks_for_patience_gets_it():
    async def run():
        queue = WorkQueue()
        return queue.retry("a", at_least=20)

    assert run_quickly(run()) >= 16


def test_its_age_is_that_of_the_first_key_that_is_due():
    async def run():
        queue = WorkQueue()
        before = queue.oldest_seconds(), len(queue)
        queue.add("a", 1)
        queue.add("b", 4)
        await asyncio.sleep(3)
        return before, (queue.oldest_seconds(), len(queue))

    assert run_quickly(run()) == ((0.0, 0), (pytest.approx(2.0), 1))


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 2), st.floats(0, 1)), max_size=30),
    st.lists(st.floats(0, 1.5), min_size=1, max_size=5),
)
def test_no_event_is_lost_and_no_key_has_two_turns_at_once(events, turns):
    """Whatever the times: after each event its key has a turn that began no earlier."""

    async def run():
        queue = WorkQueue()
        started: dict[str, float] = {}
        added: dict[str, float] = {}
        at_work: Counter[str] = Counter()
        working: list[asyncio.Future[None]] = []

        async def work(key, seconds):
            at_work[key] += 1
            assert at_work[key] == 1
            started[key] = now()
            await asyncio.sleep(seconds)
            at_work[key] -= 1
            queue.done(key)

        async def serve():
            while True:
                key, _ = await queue.get()
                seconds = turns[len(working) % len(turns)]
                working.append(asyncio.ensure_future(work(key, seconds)))

        serving = asyncio.ensure_future(serve())
        for key, pause, delay in events:
            await asyncio.sleep(pause)
            added[key] = now()
            queue.add(key, delay)
        await asyncio.sleep(20)
        serving.cancel()
        await asyncio.gather(*working)
        return added, started

    added, started = run_quickly(run())
    assert {key: started[key] >= time for key, time in added.items()} == dict.fromkeys(added, True)
