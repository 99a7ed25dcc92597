"""Which groups may start, and from what."""

import pytest

from cascade_operator.control.domain.policies.lattice import (
    Standing,
    immediate_subsets,
    may_start,
    parents,
)

W, S, F = Standing.OPEN, Standing.SUCCEEDED, Standing.FAILED


@pytest.mark.parametrize(
    ("key", "selected", "starts", "takes"),
    [
        pytest.param("00", {"00": W, "01": W}, True, (), id="a single node waits for none"),
        pytest.param("00_01", {"00": S, "01": W, "00_01": W}, False, ("00",), id="one is open"),
        pytest.param("00_01", {"00": S, "01": S, "00_01": W}, True, ("00", "01"), id="both done"),
        pytest.param("00_01", {"00": S, "01": F, "00_01": W}, True, ("00",), id="one failed"),
        pytest.param("00_01", {"00": F, "01": F, "00_01": W}, True, (), id="both failed"),
        pytest.param("00_01", {"02": W, "00_01": W}, True, (), id="none of them is selected"),
        pytest.param("00_01_02", {"00": W, "01_02": S}, True, ("01_02",), id="only the next size"),
        pytest.param("00_02", {"00": S, "01": W}, True, ("00",), id="others do not matter"),
    ],
)
def test_lattice(key, selected, starts, takes):
    assert may_start(key, selected, lattice=True) is starts
    assert parents(key, selected, lattice=True) == takes
    assert may_start(key, selected, lattice=False) is True
    assert parents(key, selected, lattice=False) == ()


def test_a_group_is_no_subset_of_itself():
    assert immediate_subsets("00_01", {"00_01": W, "00": W}) == ("00",)
