from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.api.groups import NodeGroup
from cascade_operator.training.lattice import ParentResult, unions
from cascade_operator.training.space import ProgramSpace

NAMES = "abc"
SPACE = ProgramSpace(("a", "b", "c"), (4, 4, 4))


def parent(nodes: str, *indices: int) -> ParentResult:
    positions = tuple(NAMES.index(node) for node in nodes)
    return ParentResult(NodeGroup(positions, tuple(nodes)), dict(zip(nodes, indices, strict=True)))


@pytest.mark.parametrize(
    ("space", "parents", "expected"),
    [
        pytest.param(
            ProgramSpace(("a", "b"), (4, 4)),
            [parent("a", 1), parent("b", 2)],
            [(1, 2), (1, 0), (0, 2)],
            id="two singles: their union, then each alone",
        ),
        pytest.param(
            SPACE,
            [parent("ab", 1, 1), parent("ac", 2, 2), parent("bc", 3, 3)],
            [(1, 1, 2), (2, 1, 2), (1, 3, 3), (1, 1, 0), (2, 0, 2), (0, 3, 3)],
            id="three pairs: each leads once",
        ),
        pytest.param(
            SPACE,
            [parent("ab", 1, 2)],
            [(1, 2, 0)],
            id="a failed parent contributes nothing",
        ),
        pytest.param(
            SPACE,
            [parent("ab", 1, 1), parent("bc", 1, 1), parent("ac", 1, 1)],
            [(1, 1, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1)],
            id="equal unions once",
        ),
        pytest.param(SPACE, [parent("ab", 0, 0), parent("bc", 0, 0)], [], id="the base is no news"),
        pytest.param(SPACE, [parent("ab", 9, 0), parent("bc", 1, 1)], [(0, 1, 1)], id="unknown"),
        pytest.param(SPACE, [], [], id="no parents"),
    ],
)
def test_unions(space: ProgramSpace, parents: list[ParentResult], expected: list[tuple]) -> None:
    assert list(unions(space, parents)) == expected


@given(st.permutations([parent("ab", 1, 2), parent("ac", 2, 3), parent("bc", 3, 1)]))
def test_the_order_in_which_parents_finished_changes_nothing(parents: list[ParentResult]) -> None:
    assert unions(SPACE, parents) == unions(SPACE, sorted(parents, key=lambda p: p.group.key))
