from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.agents.candidate import Demonstration
from cascade_operator.training.demonstrations import (
    SetLimits,
    bootstrap,
    demonstration_sets,
    labelled,
    size_of,
)
from cascade_operator.training.runs import Run
from fakes.records import SPEC, stored


def demos(prefix: str, count: int, text: str = "x") -> list[Demonstration]:
    return [
        Demonstration(f"r{n}", {"request": f"{prefix}{n}"}, {"brief": text}) for n in range(count)
    ]


def run(number: int, failed: str | None = None) -> Run:
    steps = {"plan": ({"request": f"q{number}"}, {"brief": f"b{number}"})}
    return Run({}, steps, {"plan": "because"} if number == 1 else {}, failed)


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        pytest.param([0.1, 0.5, 0.9, 0.7], ["r2", "r3"], id="the upper half"),
        pytest.param([0.2, 0.2, 0.2, 0.2], ["r0", "r1", "r2", "r3"], id="all equal: all pass"),
        pytest.param([0.0, 0.0, 0.0, 0.3], ["r3"], id="a threshold of 0 admits no 0"),
        pytest.param([0.0, 0.0, 0.0, 0.0], [], id="nothing good"),
    ],
)
def test_the_threshold_is_a_quantile_of_these_very_scores(scores: list, kept: list) -> None:
    ids = [f"r{n}" for n in range(4)]
    found = bootstrap(SPEC, ids, [run(n) for n in range(4)], scores, quantile=0.5)
    assert [d.record_id for d in found.demonstrations["plan"]] == kept
    assert (found.records, found.passed) == (4, len(kept))
    assert found.demonstrations["act"] == ()


def test_a_demonstration_holds_what_the_node_read_and_wrote_with_its_reasoning() -> None:
    found = bootstrap(SPEC, ["r1"], [run(1)], [1.0], quantile=0.5)
    assert found.demonstrations["plan"] == (
        Demonstration("r1", {"request": "q1"}, {"reasoning": "because", "brief": "b1"}),
    )


def test_a_run_that_could_not_be_read_gives_none_and_its_calls_count() -> None:
    found = bootstrap(SPEC, ["r0"], [run(0, failed="act")], [0.0], quantile=0.0)
    assert found.demonstrations["plan"] == ()
    assert found.calls == 2


def test_without_records_nothing_is_found() -> None:
    assert bootstrap(SPEC, [], [], [], quantile=0.5).passed == 0


def test_labelled_ones_are_the_nodes_own_fields_and_need_every_output() -> None:
    extra = stored(2, outputs={"plan": {"brief": "b", "other": 1}, "act": {}})
    assert labelled(SPEC.node("plan"), [extra]) == (
        Demonstration("r2", {"request": "request 2"}, {"brief": "b"}),
    )
    assert labelled(SPEC.node("act"), [extra]) == ()


@given(
    boot=st.integers(0, 6),
    labels=st.integers(0, 6),
    max_boot=st.integers(0, 3),
    max_labels=st.integers(0, 3),
    count=st.integers(0, 7),
    seed=st.integers(0, 1000),
)
def test_sets_are_distinct_bounded_never_empty_and_name_a_record_once(
    boot: int, labels: int, max_boot: int, max_labels: int, count: int, seed: int
) -> None:
    bootstrapped, labelled_ = demos("b", boot), demos("l", labels)
    limits = SetLimits(max_boot, max_labels, 200)
    sets = demonstration_sets(bootstrapped, labelled_, limits, count=count, seed=seed)
    assert len(sets) <= count
    assert len({frozenset(d.inputs["request"] for d in one) for one in sets}) == len(sets)
    for one in sets:
        assert len(one) >= 1
        assert sum(d in bootstrapped for d in one) <= max_boot
        assert sum(d in labelled_ for d in one) <= max_labels
        assert len({d.record_id for d in one}) == len(one)
        assert sum(map(size_of, one)) <= 200
    assert sets == demonstration_sets(bootstrapped, labelled_, limits, count=count, seed=seed)


def test_labels_fill_where_bootstrapping_yields_nothing() -> None:
    sets = demonstration_sets([], demos("l", 8), SetLimits(2, 2), count=3, seed=1)
    assert len(sets) == 3
    assert len(sets[0]) == 2


def test_the_first_set_is_mixed_and_the_second_labelled_only() -> None:
    bootstrapped, labels = demos("b", 4), demos("l", 8)
    first, second = demonstration_sets(bootstrapped, labels, SetLimits(2, 2), count=2, seed=3)
    assert [d in bootstrapped for d in first] == [True, True, False, False]
    assert [d in labels for d in second] == [True, True]


def test_a_demonstration_too_large_for_a_prompt_is_passed_over() -> None:
    large = demos("l", 1, "x" * 500)
    assert demonstration_sets(large, [], SetLimits(2, 2, 100), count=2, seed=0) == ()
