from __future__ import annotations

import pytest

from cascade_operator.agents.candidate import Candidate
from cascade_operator.api.errors import ServiceUnavailable, Terminated
from cascade_operator.api.status import StopReason
from cascade_operator.training.batch import BoundedBatch
from cascade_operator.training.calls.budget import BudgetExceeded
from cascade_operator.training.demonstrations import SetLimits
from cascade_operator.training.metric import make_metric
from cascade_operator.training.propose import Proposals, ProposalSettings, propose_pool
from cascade_operator.training.runs import BatchedCascade
from fakes.evaluator import MemoryCheckpoints
from fakes.records import SPEC, FakeOutcome, FakeRunner, stored

BASE = {"plan": Candidate("Say what is wanted."), "act": Candidate("Write the call.")}
RECORDS = [stored(n) for n in range(10)]
TWO = ProposalSettings({"plan": 2, "act": 2})
EIGHT = ProposalSettings({"plan": 8, "act": 8})


class Proposer:
    """Proposes numbered instructions, and notes each task."""

    def __init__(
        self, answer=lambda task: f"Try way {task.attempt} of doing {task.node.name}."
    ) -> None:
        self.answer = answer
        self.tasks = []

    def propose(self, task):
        self.tasks.append(task)
        return self.answer(task)


class Stage:
    """Everything around one proposal run."""

    def __init__(self, settings=TWO, **more) -> None:
        self.settings = settings
        self.runner = more.pop("runner", None) or FakeRunner()
        self.proposer = more.pop("proposer", None) or Proposer()
        self.store = more.pop("store", None) or MemoryCheckpoints()
        self.records = more.pop("records", RECORDS)
        self.more = more

    def run(self) -> Proposals:
        return propose_pool(
            SPEC,
            BASE,
            self.records,
            self.settings,
            cascade=BatchedCascade(SPEC, self.runner, BoundedBatch(1, lambda: None)),
            metric=make_metric("ExactMatch"),
            proposer=self.proposer,
            store=self.store,
            **self.more,
        )


def test_candidate_0_is_the_declared_program_and_1_a_proposal_with_demonstrations() -> None:
    found = Stage().run()
    for node, base in BASE.items():
        first, second = found.pool.candidates[node]
        assert first == base
        assert second.instructions == f"Try way 0 of doing {node}."
        assert second.source == "proposed"
        assert {d.record_id for d in second.demonstrations} <= {r.record_id for r in RECORDS}
        assert len(second.demonstrations) == 4
    assert found.notes == ()


def test_two_candidates_cost_one_proposal_a_node_and_few_base_runs() -> None:
    stage = Stage()
    found = stage.run()
    assert len(stage.proposer.tasks) == 2
    assert len(stage.runner.calls) == 4 * 2
    assert found.calls == 2 + 8


def test_eight_candidates_are_distinct() -> None:
    found = Stage(EIGHT).run()
    for node in BASE:
        candidates = found.pool.candidates[node]
        assert len({candidate.digest for candidate in candidates}) == 8
        assert len({candidate.instructions for candidate in candidates}) == 8


def test_a_proposal_sees_the_demonstrations_it_will_run_with() -> None:
    stage = Stage()
    found = stage.run()
    assert stage.proposer.tasks[0].demonstrations == found.pool.get("plan", 1).demonstrations


def test_a_base_run_that_ends_badly_gives_no_demonstration_and_labels_fill_in() -> None:
    stage = Stage(
        runner=FakeRunner(lambda name, candidate, fields: FakeOutcome({"brief": "?", "call": 0}))
    )
    found = stage.run()
    for demo in found.pool.get("plan", 1).demonstrations:
        assert demo.outputs["brief"] != "?"
    assert len(found.pool.get("plan", 1).demonstrations) == 2


@pytest.mark.parametrize("answer", [None, "", "no", "Say what is wanted."], ids=repr)
def test_a_model_that_gives_nothing_usable_leaves_candidates_that_differ_in_demonstrations(
    answer,
) -> None:
    stage = Stage(
        EIGHT,
        proposer=Proposer(
            lambda task: answer if task.node.name == "plan" else f"Way {task.attempt} is good."
        ),
    )
    found = stage.run()
    plan = found.pool.candidates["plan"]
    assert len(plan) == 8
    assert {candidate.instructions for candidate in plan} == {BASE["plan"].instructions}
    assert len({candidate.digest for candidate in plan}) == 8
    assert {candidate.source for candidate in plan[1:]} <= {"bootstrapped", "labeled"}
    assert [note for note in found.notes if note.startswith("plan: ")]
    assert sum(task.node.name == "plan" for task in stage.proposer.tasks) == 8


def test_too_few_records_give_fewer_candidates_and_say_so() -> None:
    settings = ProposalSettings({"plan": 8, "act": 8}, max_bootstrap_records=0)
    found = Stage(settings, records=RECORDS[:1], proposer=Proposer(lambda task: None)).run()
    assert len(found.pool.candidates["plan"]) == 2
    assert any("2 of 8 candidates" in note for note in found.notes)


def test_without_training_records_instructions_stand_alone() -> None:
    found = Stage(records=[]).run()
    assert [c.demonstrations for c in found.pool.candidates["plan"]] == [(), ()]
    assert len(found.pool.candidates["plan"]) == 2


def test_one_candidate_a_node_costs_no_proposal() -> None:
    stage = Stage(ProposalSettings({"plan": 1, "act": 1}))
    assert stage.run().pool.counts == {"plan": 1, "act": 1}
    assert stage.proposer.tasks == []


def test_calls_stay_within_their_limit() -> None:
    settings = ProposalSettings({"plan": 8, "act": 8}, max_calls=13)
    stage = Stage(settings, proposer=Proposer(lambda task: None))
    found = stage.run()
    assert len(stage.runner.calls) == 6  # at most half: three records of two nodes
    assert len(stage.proposer.tasks) == 6  # (13 - 6) // 2 for each node
    assert found.calls == 12


@pytest.mark.parametrize("where", ["base runs", "proposals"])
def test_a_budget_that_ends_leaves_candidates_from_the_records(where: str) -> None:
    spent = BudgetExceeded(StopReason.TOKEN_BUDGET, "tokens are used up")

    def refuse(*_):
        raise spent

    more = (
        {"runner": FakeRunner(refuse)} if where == "base runs" else {"proposer": Proposer(refuse)}
    )
    found = Stage(ProposalSettings({"plan": 3, "act": 3}), **more).run()
    assert found.pool.counts == {"plan": 3, "act": 3}
    assert all(c.demonstrations for c in found.pool.candidates["plan"][1:])


def test_demonstrations_can_be_switched_off() -> None:
    off = dict.fromkeys(BASE, SetLimits(0, 0))
    stage = Stage(ProposalSettings({"plan": 3, "act": 3}, limits=off))
    found = stage.run()
    assert stage.runner.calls == []
    assert [c.demonstrations for c in found.pool.candidates["plan"]] == [(), (), ()]


def test_the_same_answers_give_the_same_pool_whatever_the_order_of_the_records() -> None:
    assert Stage(EIGHT).run().pool.digest == Stage(EIGHT).run().pool.digest


@pytest.mark.parametrize("dies_at", range(1, 4))
def test_a_killed_prepare_proposes_no_node_again(dies_at: int) -> None:
    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked == dies_at:
            raise Terminated("told to stop")

    four = ProposalSettings({"plan": 3, "act": 3})
    broken = Stage(four, check=check)
    with pytest.raises(Terminated):
        broken.run()
    finished = dies_at > 2  # two proposals for plan, then act
    again = Stage(four, store=broken.store)
    found = again.run()
    assert again.runner.calls == [], "the base runs were saved"
    assert {task.node.name for task in again.proposer.tasks} == (
        {"act"} if finished else {"plan", "act"}
    )
    assert found == Stage(four).run()


def test_a_server_that_fails_ends_prepare_with_what_was_finished_saved() -> None:
    def answer(task):
        if task.node.name == "act":
            raise ServiceUnavailable("away")
        return "Say plainly what is wanted."

    stage = Stage(proposer=Proposer(answer))
    with pytest.raises(ServiceUnavailable):
        stage.run()
    assert list(stage.store.load_state()["nodes"]) == ["plan"]


@pytest.mark.parametrize(
    "state",
    [{}, {"version": 1, "fingerprint": "other"}, {"version": 1}, {"version": 9}],
    ids=["empty", "other settings", "cut", "version"],
)
def test_saved_proposals_that_do_not_fit_are_left_out(state: dict, caplog) -> None:
    store = MemoryCheckpoints()
    store.save_state(state)
    assert Stage(store=store).run().pool.digest == Stage().run().pool.digest
    assert "left out" in caplog.text


def test_damaged_saved_proposals_are_left_out(caplog) -> None:
    store = MemoryCheckpoints()
    Stage(store=store).run()
    state = store.load_state()
    state["nodes"]["plan"]["candidates"] = [{"instructions": 5}]
    store.save_state(state)
    assert Stage(store=store).run().pool.digest == Stage().run().pool.digest
    assert "left out" in caplog.text
