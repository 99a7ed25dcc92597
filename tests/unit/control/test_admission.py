"""Admission within parallelism and the memory budget."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.control.domain.policies.admission import Request, admit

GROUPS = [Request("00", 2), Request("01", 3), Request("00_01", 2)]


@pytest.mark.parametrize(
    ("requests", "running", "parallelism", "budget", "admitted", "short"),
    [
        pytest.param(GROUPS, {}, 15, None, ("00", "01", "00_01"), (), id="no bound"),
        pytest.param(GROUPS, {}, 2, None, ("00", "01"), (), id="parallelism, in order"),
        pytest.param(GROUPS, {"x": 1}, 2, None, ("00",), (), id="a running Job takes a slot"),
        pytest.param(GROUPS, {"x": 1, "y": 1}, 2, None, (), (), id="no slot, no shortage"),
        pytest.param(GROUPS, {}, 15, 4, ("00", "00_01"), ("01",), id="passes over what is too big"),
        pytest.param(GROUPS, {"x": 3}, 15, 4, (), ("00", "01", "00_01"), id="prepare counts"),
        pytest.param(GROUPS, {"x": 9}, 15, 4, (), ("00", "01", "00_01"), id="budget was lowered"),
        pytest.param(
            [Request("archive", 4, urgent=True), *GROUPS],
            {"x": 1},
            15,
            4,
            (),
            ("archive",),
            id="nothing passes a due archive",
        ),
        pytest.param(
            [Request("archive", 1, urgent=True), *GROUPS],
            {},
            2,
            None,
            ("archive", "00"),
            (),
            id="a due archive goes first",
        ),
        pytest.param([], {}, 15, 4, (), (), id="nothing asked"),
    ],
)
def test_admit(requests, running, parallelism, budget, admitted, short):
    answer = admit(requests, running, parallelism=parallelism, budget=budget)
    assert (answer.admitted, answer.short_of_memory) == (admitted, short)


@given(
    st.lists(st.integers(1, 9), max_size=8),
    st.lists(st.integers(1, 9), max_size=4),
    st.integers(1, 6),
    st.integers(1, 30),
)
def test_bounds_hold_for_any_mix(asked, running, parallelism, budget):
    requests = [Request(f"q{i}", memory) for i, memory in enumerate(asked)]
    held = {f"r{i}": memory for i, memory in enumerate(running)}
    admitted = admit(requests, held, parallelism=parallelism, budget=budget).admitted
    if admitted:
        taken = sum(r.memory for r in requests if r.name in admitted)
        assert sum(held.values()) + taken <= budget
        assert len(held) + len(admitted) <= parallelism
