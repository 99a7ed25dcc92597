"""A Job's timeline: every second in its innermost stage, memory by its peaks, all of it bounded."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.monitoring.stage_log import run_stage, watching_stages
from cascade_operator.monitoring.timeline import POINTS, SPANS, JobTimeline, MemorySeries


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def timeline(clock):
    return JobTimeline("prepare", 2, clock=clock)


def test_each_second_belongs_to_the_innermost_stage(timeline, clock):
    timeline.moved_to(84)
    clock.now += 2
    timeline.entered(12)
    clock.now += 3
    timeline.left(12)
    clock.now += 1
    timeline.moved_to(44)
    clock.now += 4
    timeline.ended("Done")
    found = timeline.to_json()
    assert found["stages"] == [[84, 0, 2], [12, 2, 5], [84, 5, 6], [44, 6, 10]]
    assert (found["job"], found["attempt"], found["start"]) == ("prepare", 2, 1000)
    assert (found["seconds"], found["outcome"]) == (10, "Done")


def test_a_timeline_shows_what_is_under_way(timeline, clock):
    timeline.moved_to(41)
    timeline.entered(41)  # the same stage again is no new span
    clock.now += 5
    found = timeline.to_json()
    assert found["stages"] == [[41, 0, 5]]
    assert (found["seconds"], found["outcome"]) == (5, "")


def test_no_time_passes_after_the_end(timeline, clock):
    timeline.moved_to(41)
    clock.now += 5
    timeline.ended("MemoryGate")
    clock.now += 60
    assert timeline.to_json()["seconds"] == 5
    assert timeline.to_json()["stages"] == [[41, 0, 5]]


def test_a_clock_set_back_makes_no_stages_overlap(timeline, clock):
    timeline.moved_to(84)
    clock.now += 10
    timeline.moved_to(12)
    clock.now -= 8
    timeline.moved_to(13)
    clock.now += 3
    timeline.moved_to(15)
    clock.now += 9
    timeline.ended("Done")
    found = timeline.to_json()
    assert found["stages"] == [[84, 0, 10], [15, 10, 14]]
    assert found["seconds"] == 14


def test_stages_that_run_are_seen_save_those_of_single_batches(timeline, clock):
    with watching_stages(timeline), run_stage(11):
        clock.now += 1
        with run_stage(43, level=logging.DEBUG):
            clock.now += 1
    with run_stage(12):
        clock.now += 1
    assert timeline.to_json()["stages"] == [[11, 0, 2]]


def test_the_shortest_stages_go_first(timeline, clock):
    for number in range(3 * SPANS):
        timeline.moved_to(12 + number % 2)
        clock.now += 1.0 + number
    stages = timeline.to_json()["stages"]
    assert len(stages) <= SPANS + 1
    assert min(end - begin for _, begin, end in stages) > SPANS


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 2**40)), min_size=1, max_size=900))
def test_a_memory_series_is_bounded_and_keeps_the_peak(readings):
    series, now = MemorySeries(), 0.0
    for pause, used in readings:
        now += pause
        series.add(now, used)
    found = series.to_json()
    assert 1 <= len(found["bytes"]) <= POINTS
    assert max(found["bytes"]) == max(used for _, used in readings)
    assert (len(found["bytes"]) - 1) * found["step"] <= now < len(found["bytes"]) * found["step"]


def test_a_step_without_a_reading_holds_the_one_before():
    series = MemorySeries()
    for at, used in ((0.2, 5), (0.9, 7), (3.1, 2)):
        series.add(at, used)
    assert series.to_json() == {"step": 1.0, "bytes": [7, 7, 7, 2]}
