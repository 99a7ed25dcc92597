"""Raising a group's memory limit."""

import pytest

from cascade_operator.control.domain.policies.memory import escalate, first_limit

MI = 1024**2
GI = 1024**3


@pytest.mark.parametrize(
    ("limit", "factor", "most", "expected"),
    [
        pytest.param(GI, 1.5, 4 * GI, 1536 * MI, id="by the factor"),
        pytest.param(3 * GI, 1.5, 4 * GI, 4 * GI, id="not over the most"),
        pytest.param(4 * GI, 1.5, 4 * GI, None, id="already had the most"),
        pytest.param(5 * GI, 1.5, 4 * GI, None, id="the most was lowered"),
        pytest.param(100 * MI + 1, 1.1, GI, 111 * MI, id="whole MiB, upwards"),
        pytest.param(10 * MI, 1.001, GI, 11 * MI, id="always a step"),
    ],
)
def test_escalate(limit, factor, most, expected):
    assert escalate(limit, factor=factor, most=most) == expected


@pytest.mark.parametrize(
    ("last_peak", "expected"),
    [
        pytest.param(None, 1000 * MI, id="no last run"),
        pytest.param(0, 1000 * MI, id="unknown peak"),
        pytest.param(700 * MI, 1000 * MI, id="well below the threshold"),
        pytest.param(800 * MI, 1001 * MI, id="at the threshold"),
        pytest.param(1600 * MI, 2001 * MI, id="so that the peak is below it"),
        pytest.param(4000 * MI, 3000 * MI, id="not over the most"),
    ],
)
def test_first_limit(last_peak, expected):
    limit = first_limit(1000 * MI, last_peak=last_peak, threshold=80, most=3000 * MI)
    assert limit == expected
