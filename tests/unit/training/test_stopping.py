from __future__ import annotations

import pytest

from cascade_operator.api.errors import MemoryGateReached
from cascade_operator.api.status import StopReason
from cascade_operator.training.stopping import RunGuard, SearchStopped


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def nothing() -> None:
    return None


def test_the_deadline_stops_with_a_result() -> None:
    clock = Clock()
    guard = RunGuard(urgent=nothing, seconds_left=10, clock=clock)
    clock.now = 109.9
    guard.check()
    clock.now = 110.0
    with pytest.raises(SearchStopped) as stopped:
        guard.check()
    assert stopped.value.reason is StopReason.DEADLINE_EXCEEDED


def test_the_work_after_the_search_gets_its_grace_and_no_more() -> None:
    clock = Clock()
    guard = RunGuard(urgent=nothing, seconds_left=10, grace=60, clock=clock)
    clock.now = 150.0
    guard.wind_up()
    clock.now = 209.0
    guard.check()
    clock.now = 210.0
    with pytest.raises(SearchStopped):
        guard.check()


def test_a_spent_budget_stops_the_search_but_not_the_work_after_it() -> None:
    guard = RunGuard(urgent=nothing, spent=lambda: StopReason.TOKEN_BUDGET)
    with pytest.raises(SearchStopped) as stopped:
        guard.check()
    assert stopped.value.reason is StopReason.TOKEN_BUDGET
    guard.wind_up()
    guard.check()


def test_the_memory_gate_comes_before_the_deadline_and_also_after_the_search() -> None:
    def full() -> None:
        raise MemoryGateReached("full")

    guard = RunGuard(urgent=full, seconds_left=0)
    with pytest.raises(MemoryGateReached):
        guard.check()
    guard.wind_up()
    with pytest.raises(MemoryGateReached):
        guard.check()
