from __future__ import annotations

import threading

import pytest

from cascade_operator.api.errors import ServiceUnavailable, Terminated
from cascade_operator.training.batch import BoundedBatch


def nothing() -> None:
    return None


@pytest.mark.parametrize("limit", [1, 3])
def test_results_come_in_the_order_of_the_items_whoever_finishes_first(limit: int) -> None:
    last_done = threading.Event()

    def call(item: int) -> int:
        if limit > 1 and item == 0:
            last_done.wait(5)  # the first call ends last
        if item == 2:
            last_done.set()
        return item * 10

    assert BoundedBatch(limit, nothing).map(call, [0, 1, 2]) == [0, 10, 20]


def test_never_more_calls_in_flight_than_allowed() -> None:
    lock, together = threading.Lock(), threading.Barrier(2)
    running = most = 0

    def call(_item: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(5)  # both slots are used, or this breaks
        with lock:
            running -= 1

    BoundedBatch(2, nothing).map(call, list(range(6)))
    assert most == 2


@pytest.mark.parametrize("limit", [1, 4])
def test_a_failure_is_raised_and_no_further_call_begins(limit: int) -> None:
    begun: list[int] = []

    def call(item: int) -> None:
        begun.append(item)
        raise ServiceUnavailable("away")

    with pytest.raises(ServiceUnavailable):
        BoundedBatch(limit, nothing).map(call, list(range(200)))
    assert len(begun) < 200


def test_a_stop_is_noticed_while_every_call_waits() -> None:
    release, waiting = threading.Event(), threading.Barrier(3)

    def check() -> None:
        if waiting.broken or waiting.n_waiting == 2:
            raise Terminated("told to stop")

    def call(_item: int) -> None:
        waiting.wait(20)

    try:
        with pytest.raises(Terminated):
            BoundedBatch(2, check).map(call, [0, 1])
    finally:
        release.set()
        waiting.abort()


def test_with_one_call_at_a_time_the_check_is_asked_before_each() -> None:
    asked: list[int] = []
    BoundedBatch(1, lambda: asked.append(len(asked))).map(lambda item: item, [5, 6, 7])
    assert asked == [0, 1, 2]
