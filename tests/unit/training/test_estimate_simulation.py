"""The simulation of a run's searches: what it counts, what it costs, where it stops."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from cascade_operator.api.status import StopReason
from cascade_operator.training.calls.budget import Price
from cascade_operator.training.estimate.answers import Answers, agreements
from cascade_operator.training.estimate.bound import at_most_by_node
from cascade_operator.training.estimate.flow import given_ids, node_flows
from cascade_operator.training.estimate.purse import CallSize, Purse
from cascade_operator.training.estimate.simulation import Scene, simulate
from cascade_operator.training.strategy import SearchSettings
from fakes.counted_runs import (
    CHAIN,
    FORK,
    CountedRun,
    CountingServer,
    cascade_of,
    records_of,
)

FOUR = (*CHAIN[:2], ("check", "draft -> verdict"), ("act", "draft, verdict -> call"))


def total(scene: Scene, purse: Purse | None = None) -> float:
    return sum(sum(one.calls.values()) for one in simulate(scene, purse or free(scene)).values())


def free(scene: Scene, **limits: float) -> Purse:
    size = CallSize(90, 10, Price(1.0, 1.0))
    return Purse([[size] * count for count in scene.counts], **limits)


def test_nodes_depend_on_what_they_read_and_on_what_that_was_made_from() -> None:
    closures = {flow.name: flow.closure for flow in node_flows(cascade_of(FORK))}
    assert closures == {"classify": (0,), "extract": (1,), "act": (0, 1, 2)}
    assert [flow.given for flow in node_flows(cascade_of(CHAIN))] == [
        ("request",),
        (),
        ("request",),
    ]


@pytest.mark.parametrize("nodes", [CHAIN, FORK], ids=["chain", "fork"])
def test_where_every_program_is_tried_each_prompt_is_counted_once(nodes) -> None:
    run = CountedRun(nodes, settings=SearchSettings(trials=8, patience=20), held_out=0)
    server = CountingServer()
    outcomes = run.search(server)
    counted = simulate(run.scene(), free(run.scene()))
    assert total(run.scene()) == len(server.asked)
    assert [one.trials for one in counted.values()] == [len(o.trials) for o in outcomes]
    assert [one.reason for one in counted.values()] == [o.reason for o in outcomes]


def test_a_large_run_is_counted_within_a_factor() -> None:
    run = CountedRun(
        CHAIN, (4, 4, 4), SearchSettings(trials=20, patience=6), validation=12, held_out=4
    )
    server = CountingServer()
    run.search(server)
    assert total(run.scene()) == pytest.approx(len(server.asked), rel=0.35)


def test_answers_that_agree_are_shared() -> None:
    run = CountedRun(CHAIN, (4, 4, 4), SearchSettings(trials=16), validation=10)
    apart, partly, alike = (total(run.scene(chance)) for chance in (0.0, 0.5, 1.0))
    assert alike < partly < apart
    # Where all agree, a prompt varies with its own node's candidate alone.
    assert alike <= 3 * 4 * (run.validation + run.held_out)


def test_the_same_run_is_estimated_alike() -> None:
    scene = CountedRun(CHAIN, (4, 4, 4), SearchSettings(trials=16)).scene(0.3)
    assert total(scene) == total(scene)


def test_equal_inputs_are_one_prompt() -> None:
    cascade = cascade_of(CHAIN)
    flows = node_flows(cascade)
    twins = [*records_of(cascade, "v", 2), *records_of(cascade, "v", 2)]
    ids = given_ids(cascade, flows, twins)
    answers = Answers(flows, ids, (0.0, 0.0, 0.0))
    assert len(np.unique(answers.asked(2, (0, 1, 0)))) == 2


@pytest.mark.parametrize(
    ("outputs", "chance"),
    [
        pytest.param({"kind": "x" * 10}, 0.84, id="short"),
        pytest.param({"kind": "x" * 600}, 0.01, id="long"),
    ],
)
def test_short_answers_agree_more_often(outputs, chance: float) -> None:
    found = agreements(cascade_of(FORK), [{"classify": outputs}])
    assert found["classify"] == pytest.approx(chance, abs=0.01)


def test_a_node_that_only_chooses_agrees_however_it_is_written() -> None:
    cascade = cascade_of((("classify", 'text -> kind: Literal["a", "b"], sure: bool'), *FORK[1:2]))
    long = [{"classify": {"kind": "a" * 900}}]
    assert agreements(cascade, long)["classify"] == 0.8


def test_a_budget_of_calls_ends_the_searches() -> None:
    scene = CountedRun(CHAIN, (4, 4, 4), SearchSettings(trials=16), validation=10).scene()
    counted = simulate(scene, free(scene, calls=100.0))
    assert sum(sum(one.calls.values()) for one in counted.values()) == pytest.approx(100)
    assert StopReason.CALL_BUDGET in {one.reason for one in counted.values()}


@pytest.mark.parametrize("limit", [{"tokens": 10_000.0}, {"cost": 0.01}], ids=["tokens", "cost"])
def test_a_budget_of_tokens_or_money_ends_them(limit) -> None:
    scene = CountedRun(CHAIN, (4, 4, 4), SearchSettings(trials=16), validation=10).scene()
    counted = simulate(scene, free(scene, **limit))
    calls = sum(sum(one.calls.values()) for one in counted.values())
    assert 100 <= calls < total(scene)  # a call takes 100 tokens
    assert {one.reason for one in counted.values()} >= {StopReason.TOKEN_BUDGET}


def test_a_share_of_logical_calls_ends_a_search_as_the_real_one() -> None:
    settings = SearchSettings(trials=16, calls_per_record=3, max_calls=60)
    run = CountedRun(CHAIN, (4, 4, 4), settings, validation=4, held_out=1)
    outcomes = run.search(CountingServer())
    counted = simulate(run.scene(), free(run.scene()))
    assert [one.trials for one in counted.values()] == [len(o.trials) for o in outcomes]
    assert {one.reason for one in counted.values()} >= {StopReason.CALL_BUDGET}


def test_some_records_stand_for_a_large_split() -> None:
    cascade = cascade_of(CHAIN)
    flows = node_flows(cascade)
    small = CountedRun(CHAIN, settings=SearchSettings(trials=8, patience=20), held_out=0)
    ids = given_ids(cascade, flows, records_of(cascade, "v", 2_000))
    scene = replace(
        small.scene(),
        validation=ids,
        held_out=given_ids(cascade, flows, records_of(cascade, "h", 3)),
        validation_size=100_000,
        held_out_size=0,
        searches=tuple(
            replace(one, settings=replace(one.settings, minibatch_size=0))
            for one in small.scene().searches
        ),
    )
    counted = total(scene)
    assert counted == pytest.approx(14 * 100_000, rel=0.001)


@pytest.mark.parametrize(
    ("trials", "candidates", "records"),
    [
        pytest.param(40, 8, 50, id="as declared"),
        pytest.param(1000, 64, 5_000, id="as much as can be asked for"),
    ],
)
def test_the_work_is_bounded(trials: int, candidates: int, records: int) -> None:
    run = CountedRun(
        FOUR, (candidates,) * 4, SearchSettings(trials=trials, patience=1000), validation=20
    )
    cascade = run.cascade
    flows = node_flows(cascade)
    ids = given_ids(cascade, flows, records_of(cascade, "v", min(records, 2_000)))
    scene = replace(run.scene(0.2), validation=ids, validation_size=records)
    began = time.process_time()
    counted = simulate(scene, free(scene))
    # A wide bound: it is there to notice work that grows with what is asked for.
    assert time.process_time() - began < 20
    bound = at_most_by_node(
        scene.flows,
        scene.counts_by_node,
        scene.searches,
        validation=records,
        held_out=run.held_out,
    )
    assert sum(sum(one.calls.values()) for one in counted.values()) <= sum(bound)


def test_groups_that_start_from_their_subsets_share_what_those_called() -> None:
    run = CountedRun(
        CHAIN, (6, 6, 6), SearchSettings(trials=6, patience=20), validation=10, held_out=0
    )
    apart = replace(run, lattice=False)
    called, called_apart = CountingServer(), CountingServer()
    run.search(called)
    apart.search(called_apart)
    assert len(called.asked) < len(called_apart.asked)
    assert total(run.scene()) < total(apart.scene())


def test_the_first_trials_stand_for_those_that_are_too_many() -> None:
    def counted(trials: int):
        settings = SearchSettings(trials=trials, patience=1000)
        scene = CountedRun(CHAIN, (12, 12, 12), settings, validation=20, held_out=0).scene()
        return simulate(scene, free(scene))["00_01_02"]

    short, long = counted(200), counted(1000)
    assert (short.trials, long.trials) == (200, 1000)
    assert sum(long.calls.values()) > 3 * sum(short.calls.values())
    assert long.logical == pytest.approx(5 * short.logical)
