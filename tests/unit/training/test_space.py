from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.training.space import ProgramSpace

SPACE = ProgramSpace(("a", "b"), (2, 3))


def test_walking_from_any_program_reaches_every_other_once() -> None:
    tried: list[tuple[int, ...]] = []
    program = (1, 1)
    while (found := SPACE.next_untried(program, tried)) is not None:
        tried.append(found)
    assert tried == [(1, 1), (1, 2), (0, 0), (0, 1), (0, 2), (1, 0)]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
def test_the_next_untried_program_was_not_tried_and_exists(
    counts: list[int], data: st.DataObject
) -> None:
    space = ProgramSpace(tuple("abcd"[: len(counts)]), tuple(counts))
    everything = list(itertools.product(*map(range, counts)))
    tried = data.draw(st.sets(st.sampled_from(everything)))
    found = space.next_untried(data.draw(st.sampled_from(everything)), tried)
    assert space.size == len(everything)
    if len(tried) == len(everything):
        assert found is None
    else:
        assert found in everything
        assert found not in tried


@pytest.mark.parametrize(
    ("choice", "program"),
    [
        pytest.param({"a": 1, "b": 2}, (1, 2), id="all nodes"),
        pytest.param({"b": 1}, (0, 1), id="left out stays at the base"),
        pytest.param({"a": 1, "z": 9}, (1, 0), id="a node outside is ignored"),
        pytest.param({"a": 2}, None, id="no such candidate"),
        pytest.param({"a": -1}, None, id="negative"),
    ],
)
def test_a_choice_becomes_a_program(choice: dict[str, int], program: tuple[int, ...]) -> None:
    assert SPACE.program(choice) == program


def test_a_program_becomes_a_choice_again() -> None:
    assert SPACE.choice((1, 2)) == {"a": 1, "b": 2}


def test_a_node_without_candidates_cannot_be_searched() -> None:
    with pytest.raises(KeyError):
        ProgramSpace.of(["a", "b"], {"a": 2})
