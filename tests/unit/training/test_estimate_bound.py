"""The bound on model calls: real searches never exceed it, and it grows with what may be tried."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_operator.training.estimate.bound import at_most_by_node
from cascade_operator.training.strategy import SearchSettings
from fakes.counted_runs import CHAIN, FORK, CountedRun, CountingServer

SMALL = st.integers(1, 4)
RUNS = st.builds(
    CountedRun,
    nodes=st.sampled_from([CHAIN, FORK]),
    counts=st.tuples(SMALL, SMALL, SMALL),
    settings=st.builds(
        SearchSettings,
        seed=st.integers(0, 5),
        trials=st.integers(1, 12),
        minibatch_size=st.sampled_from([None, 0, 1, 2]),
        full_evaluation_every=st.integers(1, 4),
        patience=st.integers(1, 12),
        calls_per_record=st.just(3),
        max_calls=st.sampled_from([None, 30, 100]),
    ),
    validation=st.integers(1, 5),
    held_out=st.integers(0, 3),
    lattice=st.booleans(),
)


def at_most(run: CountedRun) -> int:
    scene = run.scene()
    return sum(
        at_most_by_node(
            scene.flows,
            scene.counts_by_node,
            scene.searches,
            validation=run.validation,
            held_out=run.held_out,
        )
    )


@settings(max_examples=40, deadline=None)
@given(run=RUNS, agree=st.frozensets(st.sampled_from(["plan", "classify", "extract"])))
def test_no_run_calls_more_often(run: CountedRun, agree: frozenset[str]) -> None:
    server = CountingServer(agree)
    run.search(server)
    assert len(server.asked) <= at_most(run)


@pytest.mark.parametrize(
    ("nodes", "by_node"),
    [
        # The second node of a chain meets the candidates of two nodes, the third those of three.
        pytest.param(CHAIN, [2 * 5, 4 * 5, 8 * 5], id="chain"),
        # The second node of the fork does not read the first one.
        pytest.param(FORK, [2 * 5, 2 * 5, 8 * 5], id="fork"),
    ],
)
def test_a_tiny_space_is_counted_exactly(nodes, by_node) -> None:
    run = CountedRun(
        nodes, settings=SearchSettings(trials=8, patience=20), validation=5, held_out=0
    )
    server = CountingServer()
    run.search(server)
    assert at_most(run) == sum(by_node) == len(server.asked)


@settings(max_examples=60)
@given(run=RUNS, more=st.sampled_from(["trials", "validation", "held_out", "first", "last"]))
def test_more_of_anything_is_never_bounded_lower(run: CountedRun, more: str) -> None:
    # Whole splits: with minibatches a space that is exhausted takes more than a larger one.
    run = replace(run, settings=replace(run.settings, minibatch_size=0, max_calls=None))
    first, second, last = run.counts
    larger = {
        "trials": replace(run, settings=replace(run.settings, trials=run.settings.trials + 3)),
        "validation": replace(run, validation=run.validation + 2),
        "held_out": replace(run, held_out=run.held_out + 2),
        "first": replace(run, counts=(first + 1, second, last)),
        "last": replace(run, counts=(first, second, last + 1)),
    }[more]
    assert at_most(larger) >= at_most(run)


def test_a_share_of_a_budget_bounds_a_group() -> None:
    wide = CountedRun(counts=(4, 4, 4), settings=SearchSettings(trials=12, calls_per_record=3))
    tight = replace(wide, settings=replace(wide.settings, max_calls=40))
    assert at_most(tight) < at_most(wide)
    server = CountingServer()
    tight.search(server)
    assert len(server.asked) <= at_most(tight)


@pytest.mark.parametrize("trials", [3, 4, 6])
def test_whole_scorings_between_minibatches_are_counted(trials: int) -> None:
    # The last trial scores the best by estimate on every record, whatever the schedule says.
    settings = SearchSettings(trials=trials, minibatch_size=1, full_evaluation_every=5, patience=20)
    run = CountedRun(CHAIN, (1, 1, 9), settings, validation=8, held_out=0)
    run.groups = run.groups[2:3]
    server = CountingServer()
    run.search(server)
    assert len(server.asked) <= at_most(run)


def test_an_archived_program_is_scored_whole() -> None:
    settings = SearchSettings(trials=6, minibatch_size=1, full_evaluation_every=5)
    scene = CountedRun(CHAIN, (9, 9, 9), settings, validation=8, held_out=0).scene()

    def bound(searches) -> int:
        found = at_most_by_node(
            scene.flows, scene.counts_by_node, searches, validation=8, held_out=0
        )
        return found[-1]

    (*_, largest) = scene.searches
    assert bound([replace(largest, archived=(1, 1, 1))]) - bound([largest]) == 8 - 1
