"""The gate before the limit: figures, peak, and the watch in the background."""

import threading

import pytest

from cascade_operator.api.errors import MemoryGateReached
from cascade_operator.api.exit_codes import ExitCode
from cascade_operator.resources.cgroup import MemoryReading, MemorySource
from cascade_operator.resources.gate import MemoryGate

MIB = 2**20


def reading(used, limit=1000 * MIB, *, limited=True):
    return MemoryReading(used, limit, MemorySource.CGROUP_V2, limited)


class Meter:
    """Gives one reading after the other, then the last one again; an error is raised."""

    def __init__(self, *steps, limit=1000 * MIB):
        self.steps = [s if isinstance(s, OSError) else reading(s * MIB, limit) for s in steps]
        self.taken = 0
        self.exhausted = threading.Event()

    def __call__(self):
        step = self.steps[min(self.taken, len(self.steps) - 1)]
        self.taken += 1
        if self.taken >= len(self.steps):
            self.exhausted.set()
        if isinstance(step, OSError):
            raise step
        return step


@pytest.mark.parametrize(
    ("used", "limit_mib", "threshold", "reached"),
    [
        (799, None, 80, False),
        (800, None, 80, True),
        (999, None, 100, False),
        (1000, None, 100, True),
        (399, 500, 80, False),
        (400, 500, 80, True),
        (799, 5000, 80, False),
        (800, 5000, 80, True),
    ],
)
def test_the_gate_is_reached_at_the_threshold_of_the_lower_limit(
    used, limit_mib, threshold, reached
):
    gate = MemoryGate(limit_mib and limit_mib * MIB, threshold, Meter(used))
    if reached:
        with pytest.raises(MemoryGateReached):
            gate.check()
    else:
        gate.check()
    assert gate.reached is reached


def test_the_error_tells_the_figures_and_what_to_do():
    gate = MemoryGate(1024 * MIB, 80, Meter(900, limit=2048 * MIB))
    with pytest.raises(MemoryGateReached) as caught:
        gate.check()
    assert str(caught.value) == (
        "memory gate reached: 900 MiB in use are 88 % of the limit of 1024 MiB"
        " (gate at 80 %, read from cgroup v2)"
    )
    assert "memory.maxPerJob" in caught.value.mend
    assert caught.value.exit_code == ExitCode.MEMORY_GATE


def test_the_peak_is_the_largest_seen():
    gate = MemoryGate(None, 80, Meter(10, 300, 20))
    assert gate.peak == 0
    for _ in range(3):
        gate.sample()
    assert gate.peak == 300 * MIB


def test_a_gate_once_reached_stays_reached_with_the_figures_of_then():
    gate = MemoryGate(None, 80, Meter(900, 950, 10))
    gate.sample()
    assert gate.reached
    for _ in range(2):
        with pytest.raises(MemoryGateReached, match="900 MiB in use"):
            gate.check()


def test_the_watch_marks_the_gate_and_keeps_the_peak():
    meter = Meter(100, OSError("gone for a moment"), 900, 50)
    with MemoryGate(None, 80, meter, interval=0.001) as gate:
        assert meter.exhausted.wait(10)
    assert gate.reached
    assert gate.peak == 900 * MIB
    taken = meter.taken
    assert not [t for t in threading.enumerate() if t.name == "cascade-memory-gate"]
    assert meter.taken == taken


def test_starting_twice_and_stopping_twice_is_harmless():
    meter = Meter(1, 1)
    gate = MemoryGate(None, 80, meter, interval=0.001)
    gate.start()
    gate.start()
    assert len([t for t in threading.enumerate() if t.name == "cascade-memory-gate"]) == 1
    gate.stop()
    gate.stop()
    meter.exhausted.clear()
    with gate:
        assert meter.exhausted.wait(10)
    assert not gate.reached


def test_a_check_needs_no_watch():
    before = threading.active_count()
    MemoryGate(None, 80, Meter(1)).check()
    assert threading.active_count() == before


@pytest.mark.parametrize("threshold", [0, -1, 100.1])
def test_a_threshold_that_is_no_percentage_is_refused(threshold):
    with pytest.raises(ValueError, match="makes no sense"):
        MemoryGate(None, threshold, Meter(1))
