"""Seconds left of a run's duration."""

from datetime import UTC, datetime, timedelta

import pytest

from cascade_operator.control.domain.policies.duration import (
    active_deadline_seconds,
    seconds_left,
)

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("elapsed", "paused", "expected"),
    [
        pytest.param(0, 0, 3600, id="at the start"),
        pytest.param(600.5, 0, 2999, id="whole seconds, downwards"),
        pytest.param(3600, 0, 0, id="over"),
        pytest.param(9999, 0, 0, id="long over"),
        pytest.param(3600, 600, 600, id="a pause does not count"),
        pytest.param(-5, 0, 3600, id="a clock that went back"),
        pytest.param(10, 60, 3600, id="never more than all of it"),
    ],
)
def test_seconds_left(elapsed, paused, expected):
    assert seconds_left(START, START + timedelta(seconds=elapsed), 3600, paused) == expected


def test_the_backstop_comes_ten_minutes_after_the_worker_stops_itself():
    assert active_deadline_seconds(0) == 600
    assert active_deadline_seconds(3600) == 4200
