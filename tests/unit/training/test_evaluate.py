from __future__ import annotations

import pytest

from cascade_operator.agents.candidate import Candidate
from cascade_operator.api.errors import DataError, ServiceUnavailable, Terminated
from cascade_operator.training.evaluate import CascadeEvaluator
from cascade_operator.training.metric import make_metric
from cascade_operator.training.pool import CandidatePool
from cascade_operator.training.runs import initial_fields
from fakes.records import SPEC, FakeOutcome, FakeRunner, answer_right, stored

POOL = CandidatePool(
    {
        "plan": (Candidate("plan 0"), Candidate("plan 1")),
        "act": (Candidate("act 0"), Candidate("act 1")),
    }
)
RECORDS = [stored(n) for n in range(4)]
IDS = [record.record_id for record in RECORDS]


def evaluator(runner: FakeRunner, metric: str = "ExactMatch", **more) -> CascadeEvaluator:
    last = more.pop("last_node", None)
    records = more.pop("records", RECORDS)
    return CascadeEvaluator(
        SPEC, runner, POOL, records, make_metric(metric, group_last_node=last), **more
    )


@pytest.mark.parametrize("parallel", [1, 3])
def test_scores_come_in_the_order_of_the_request(parallel: int) -> None:
    def answer(name, candidate, fields):
        right = answer_right(name, candidate, fields)
        return (
            FakeOutcome({"call": {}})
            if fields["request"] == "request 2" and name == "act"
            else right
        )

    found = evaluator(FakeRunner(answer), max_parallel_calls=parallel).evaluate({}, IDS[::-1])
    assert found.scores == (1.0, 0.0, 1.0, 1.0)
    assert found.parse_failures == 0


def test_all_records_pass_a_node_before_any_passes_the_next() -> None:
    runner = FakeRunner()
    evaluator(runner).evaluate({"act": 1}, IDS)
    assert [(name, text) for name, text, _ in runner.calls] == [("plan", "plan 0")] * 4 + [
        ("act", "act 1")
    ] * 4


def test_a_node_reads_its_own_fields_from_what_was_given_and_written() -> None:
    runner = FakeRunner()
    evaluator(runner).evaluate({}, IDS[:1])
    assert runner.calls[0][2] == {"request": "request 0"}
    assert runner.calls[1][2] == {"request": "request 0", "brief": "brief 0"}


def test_a_shared_prefix_runs_once_for_all_programs_of_a_group() -> None:
    runner = FakeRunner()
    run = evaluator(runner)
    run.evaluate({}, IDS)
    run.evaluate({"act": 1}, IDS)
    run.evaluate({"act": 1}, IDS)
    assert [name for name, _, _ in runner.calls].count("plan") == 4
    assert [name for name, _, _ in runner.calls].count("act") == 8


def test_an_equal_call_is_made_once_within_a_batch_too() -> None:
    runner = FakeRunner()
    twins = [stored(1), stored(1, record_id="twin")]
    found = evaluator(runner, records=twins).evaluate({}, ["r1", "twin"])
    assert found.scores == (1.0, 1.0)
    assert len(runner.calls) == 2


def test_an_answer_that_cannot_be_read_scores_0_is_counted_and_ends_that_record() -> None:
    def answer(name, candidate, fields):
        if fields["request"] == "request 1":
            return FakeOutcome({}, parsed=False)
        return answer_right(name, candidate, fields)

    runner = FakeRunner(answer)
    found = evaluator(runner).evaluate({}, IDS)
    assert found.scores == (1.0, 0.0, 1.0, 1.0)
    assert found.parse_failures == 1
    assert [name for name, _, f in runner.calls if f["request"] == "request 1"] == ["plan"]


def test_scope_group_ends_after_the_groups_last_node() -> None:
    runner = FakeRunner()
    run = evaluator(runner, last_node="plan")
    assert run.evaluate({}, IDS).scores == (1.0,) * 4
    assert {name for name, _, _ in runner.calls} == {"plan"}
    assert run.calls_per_record == 1
    assert evaluator(runner).calls_per_record == 2


@pytest.mark.parametrize("parallel", [1, 3])
def test_a_failing_server_fails_the_evaluation_and_is_no_score(parallel: int) -> None:
    def answer(name, candidate, fields):
        raise ServiceUnavailable("away")

    with pytest.raises(ServiceUnavailable):
        evaluator(FakeRunner(answer), max_parallel_calls=parallel).evaluate({}, IDS)


def test_the_guard_is_asked_between_calls() -> None:
    runner = FakeRunner()

    def check() -> None:
        if len(runner.calls) == 2:
            raise Terminated("told to stop")

    with pytest.raises(Terminated):
        evaluator(runner, check=check).evaluate({}, IDS)
    assert len(runner.calls) == 2


def test_an_unknown_record_and_an_unknown_candidate_are_named() -> None:
    run = evaluator(FakeRunner())
    with pytest.raises(DataError, match="r99"):
        run.evaluate({}, ["r99"])
    with pytest.raises(DataError, match="plan has no candidate 7"):
        run.evaluate({"plan": 7}, IDS)


def test_the_cascade_starts_from_the_first_tiers_inputs_only() -> None:
    assert initial_fields(SPEC, stored(3)) == {"request": "request 3"}


def test_a_missing_first_input_is_left_to_the_node_that_reads_it() -> None:
    assert initial_fields(SPEC, stored(3, inputs={})) == {}
