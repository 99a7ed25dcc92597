from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_operator.api.errors import (
    DataError,
    MemoryGateReached,
    ServiceUnavailable,
    Terminated,
)
from cascade_operator.api.groups import NodeGroup
from cascade_operator.api.status import StopReason
from cascade_operator.training.outcome import GroupOutcome
from cascade_operator.training.posterior import Posterior
from cascade_operator.training.search import GroupSearch, SearchSplit
from cascade_operator.training.space import ProgramSpace
from cascade_operator.training.stopping import SearchStopped
from cascade_operator.training.strategy import SearchSettings
from cascade_operator.training.trial import Origin
from fakes.evaluator import FakeEvaluator, FakeGuard, MemoryCheckpoints, hashed, landscape

GROUP = NodeGroup((0, 2), ("plan", "act"))
SPLIT = SearchSplit(tuple(f"v{i}" for i in range(12)), ("h0", "h1", "h2"))
WHOLE = SearchSettings(trials=8)
MINI = SearchSettings(trials=14, minibatch_size=4, full_evaluation_every=4)


class Bench:
    """One search with everything around it."""

    def __init__(self, settings: SearchSettings = WHOLE, counts=(4, 4), **more) -> None:
        self.settings = settings
        self.space = ProgramSpace(GROUP.nodes, tuple(counts))
        self.evaluator = more.pop("evaluator", None) or FakeEvaluator()
        self.guard = more.pop("guard", None) or FakeGuard()
        self.checkpoints = more.pop("checkpoints", None) or MemoryCheckpoints()
        self.split = more.pop("split", SPLIT)
        self.more = more

    def run(self) -> GroupOutcome:
        return GroupSearch(
            GROUP,
            self.space,
            self.split,
            self.settings,
            evaluator=self.evaluator,
            checkpoints=self.checkpoints,
            guard=self.guard,
            **self.more,
        ).run()


def origins(outcome: GroupOutcome) -> list[Origin]:
    return [trial.origin for trial in outcome.trials]


def mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)


def test_the_first_trial_is_the_declared_program_on_the_whole_split() -> None:
    outcome = Bench(MINI).run()
    first = outcome.trials[0]
    assert first.program == (0, 0)
    assert first.origin is Origin.BASELINE
    assert first.whole
    assert (
        outcome.baseline
        == first.score
        == mean(landscape({"plan": 0, "act": 0}, r) for r in SPLIT.validation)
    )


def test_the_archived_program_is_the_second_trial_scored_whole_and_reported() -> None:
    outcome = Bench(MINI, archived=(3, 1), proposals=[(2, 2)]).run()
    second = outcome.trials[1]
    assert (second.program, second.origin, second.whole) == ((3, 1), Origin.ARCHIVED, True)
    assert outcome.previous_best == second.score
    assert outcome.trials[2].origin is Origin.LATTICE


def test_lattice_proposals_come_next_in_their_order_and_take_half_of_the_trials_at_most() -> None:
    proposals = [(1, 0), (0, 1), (1, 1), (2, 2), (2, 3), (3, 2)]
    outcome = Bench(WHOLE, proposals=proposals).run()
    assert [t.program for t in outcome.trials[1:5]] == proposals[:4]
    assert Origin.LATTICE not in origins(outcome)[5:]


def test_no_program_is_tried_twice_on_the_whole_split() -> None:
    outcome = Bench(SearchSettings(trials=16)).run()
    assert len({trial.program for trial in outcome.trials}) == len(outcome.trials)


def test_every_program_tried_means_exhausted() -> None:
    outcome = Bench(SearchSettings(trials=40), counts=(2, 2)).run()
    assert outcome.reason is StopReason.EXHAUSTED
    assert outcome.converged
    assert {t.program for t in outcome.trials} == set(itertools.product(range(2), range(2)))
    assert outcome.choice == {"plan": 1, "act": 1}


def test_the_last_trial_that_exhausts_the_space_is_not_reported_as_max_trials() -> None:
    assert Bench(SearchSettings(trials=4), counts=(2, 2)).run().reason is StopReason.EXHAUSTED
    assert Bench(SearchSettings(trials=3), counts=(2, 2)).run().reason is StopReason.MAX_TRIALS


def test_a_flat_landscape_converges_after_twelve_programs() -> None:
    flat = FakeEvaluator(lambda choice, record: 0.5)
    outcome = Bench(SearchSettings(trials=40, patience=10), counts=(8, 8), evaluator=flat).run()
    assert outcome.reason is StopReason.CONVERGED
    assert len(outcome.trials) == 12
    assert outcome.choice == {"plan": 0, "act": 0}, "the earlier of equal programs wins"


def test_only_whole_split_scores_select() -> None:
    outcome = Bench(MINI).run()
    whole = [t for t in outcome.trials if t.whole]
    best = max(whole, key=lambda t: t.score)
    assert any(not t.whole for t in outcome.trials)
    assert outcome.score == best.score
    assert tuple(outcome.choice.values()) == best.program


def test_with_minibatches_the_best_by_estimate_is_scored_whole_on_time_and_at_the_end() -> None:
    outcome = Bench(MINI).run()
    promoted = [t.number for t in outcome.trials if t.origin is Origin.WHOLE]
    assert promoted == [4, 8, 12, 13]
    for number in promoted:
        before = outcome.trials[:number]
        waiting = {t.program: t.score for t in before if not t.whole}
        for done in (t.program for t in before if t.whole):
            waiting.pop(done, None)
        assert outcome.trials[number].program == max(waiting, key=waiting.__getitem__)


def test_a_minibatch_estimate_is_the_incumbent_plus_the_weighted_difference() -> None:
    outcome = Bench(replace(MINI, trials=3)).run()
    base, estimated = outcome.trials[0], outcome.trials[1]
    assert estimated.rows is not None
    assert len(estimated.rows) == 4
    # After one trial the posterior's spread is known, so the weights can be made again.
    spread = Posterior.uniform(12).observe(range(12), base.scores).spread
    chances = 4 * (0.5 / 12 + 0.5 * spread / spread.sum())
    rows = zip(estimated.rows, estimated.scores, strict=True)
    difference = sum((score - base.scores[row]) / chances[row] for row, score in rows) / 12
    assert estimated.score == pytest.approx(base.score + difference)


def test_a_program_that_is_scored_again_on_the_whole_split_counts_once_in_the_posterior() -> None:
    outcome = Bench(replace(MINI, trials=5)).run()
    programs_per_record = [0] * 12
    seen = set()
    for trial in outcome.trials:
        for row in trial.rows if trial.rows is not None else range(12):
            programs_per_record[row] += (trial.program, row) not in seen
            seen.add((trial.program, row))
    counted = outcome.posterior.losses + outcome.posterior.gains
    assert counted.tolist() == pytest.approx(programs_per_record)


def test_held_out_records_are_scored_once_after_selection_for_best_and_baseline() -> None:
    bench = Bench()
    outcome = bench.run()
    held = [
        (choice, ids) for choice, ids in bench.evaluator.asked if set(ids) & set(SPLIT.held_out)
    ]
    assert held == [({"plan": 0, "act": 0}, SPLIT.held_out), (outcome.choice, SPLIT.held_out)]
    assert bench.evaluator.asked[-2:] == held
    assert bench.guard.winding_up
    assert outcome.held_out == mean(landscape(outcome.choice, r) for r in SPLIT.held_out)
    assert len(outcome.held_out_scores) == len(outcome.baseline_held_out_scores) == 3


def test_when_the_baseline_is_best_it_is_not_scored_twice_on_held_out() -> None:
    bench = Bench(
        evaluator=FakeEvaluator(lambda choice, _: 1.0 if not any(choice.values()) else 0.2)
    )
    outcome = bench.run()
    assert sum(ids == SPLIT.held_out for _, ids in bench.evaluator.asked) == 1
    assert outcome.held_out == outcome.baseline_held_out == 1.0


@pytest.mark.parametrize(
    "reason", [StopReason.DEADLINE_EXCEEDED, StopReason.TOKEN_BUDGET, StopReason.CALL_BUDGET]
)
def test_time_and_budgets_end_the_search_with_a_result(reason: StopReason) -> None:
    outcome = Bench(guard=FakeGuard({3: SearchStopped(reason)})).run()
    assert outcome.reason is reason
    assert len(outcome.trials) == 3
    assert outcome.held_out is not None
    assert not outcome.converged


def test_a_deadline_during_a_trial_leaves_that_trial_out() -> None:
    stopped = SearchStopped(StopReason.DEADLINE_EXCEEDED)
    outcome = Bench(evaluator=FakeEvaluator(fail_at={2: stopped})).run()
    assert (outcome.reason, len(outcome.trials)) == (StopReason.DEADLINE_EXCEEDED, 2)


def test_a_deadline_before_the_first_trial_still_has_a_result() -> None:
    outcome = Bench(guard=FakeGuard({0: SearchStopped(StopReason.DEADLINE_EXCEEDED)})).run()
    assert outcome.trials == ()
    assert outcome.score is outcome.baseline is outcome.held_out is None
    assert outcome.choice == {"plan": 0, "act": 0}


def test_without_time_for_held_out_scores_the_rest_of_the_result_stands() -> None:
    stopped = SearchStopped(StopReason.DEADLINE_EXCEEDED)
    outcome = Bench(evaluator=FakeEvaluator(fail_at={9: stopped})).run()
    assert outcome.baseline_held_out is not None
    assert outcome.held_out is None
    assert outcome.score is not None


def test_a_share_of_calls_is_kept_with_the_held_out_scores_in_reserve() -> None:
    # 12 records x 2 calls a trial: a fourth would leave 11 of the 2 x 3 x 2 calls in reserve.
    budget = replace(WHOLE, calls_per_record=2, max_calls=4 * 24 + 11)
    bench = Bench(budget)
    outcome = bench.run()
    assert (outcome.reason, len(outcome.trials)) == (StopReason.CALL_BUDGET, 3)
    assert sum(len(ids) for _, ids in bench.evaluator.asked) * 2 <= budget.max_calls


def test_a_share_too_small_for_anything_still_scores_the_baseline() -> None:
    outcome = Bench(replace(WHOLE, max_calls=1)).run()
    assert (outcome.reason, len(outcome.trials)) == (StopReason.CALL_BUDGET, 1)


@pytest.mark.parametrize("error", [MemoryGateReached("full"), Terminated("told to")])
def test_gate_and_sigterm_leave_with_every_finished_trial_saved(error: Exception) -> None:
    bench = Bench(guard=FakeGuard({3: error}))
    with pytest.raises(type(error)):
        bench.run()
    saved = bench.checkpoints.load()
    assert len(saved["trials"]) == 3
    assert saved["finished"] is None


def test_a_trial_during_which_the_server_failed_is_not_recorded() -> None:
    bench = Bench(evaluator=FakeEvaluator(fail_at={2: ServiceUnavailable("away")}))
    with pytest.raises(ServiceUnavailable):
        bench.run()
    assert len(bench.checkpoints.load()["trials"]) == 2
    bench.evaluator = FakeEvaluator()
    assert bench.run().to_json() == Bench().run().to_json()


def test_a_wrong_number_of_scores_is_an_error_and_no_trial() -> None:
    class Short(FakeEvaluator):
        def evaluate(self, choice, record_ids):
            return super().evaluate(choice, record_ids[1:])

    with pytest.raises(DataError, match="11 scores"):
        Bench(evaluator=Short()).run()


@pytest.mark.parametrize("config", [WHOLE, MINI], ids=["whole", "minibatches"])
def test_a_search_killed_at_every_trial_ends_as_one_that_was_not(config: SearchSettings) -> None:
    plain = Bench(config, proposals=[(1, 1)], archived=(2, 0)).run()
    broken = Bench(config, proposals=[(1, 1)], archived=(2, 0))
    for _ in range(100):
        broken.guard = FakeGuard({1: Terminated("killed")})  # one trial, then gone
        try:
            outcome = broken.run()
            break
        except Terminated:
            continue
    assert outcome.to_json() == plain.to_json()


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1),
    minibatch=st.sampled_from([0, 3, 5]),
    killed_after=st.lists(st.integers(0, 12), min_size=1, max_size=3),
)
def test_resuming_is_exact_to_the_bit(seed: int, minibatch: int, killed_after: list[int]) -> None:
    config = SearchSettings(seed=seed, trials=11, minibatch_size=minibatch, full_evaluation_every=3)
    broken = Bench(config)
    for trials in killed_after:
        broken.guard = FakeGuard({trials: MemoryGateReached("full")})
        try:
            broken.run()
        except MemoryGateReached:
            continue
    broken.guard = FakeGuard()
    assert broken.run().to_json() == Bench(config).run().to_json()


def test_a_finished_search_answers_from_its_checkpoint_without_a_call() -> None:
    bench = Bench()
    first = bench.run()
    bench.evaluator = FakeEvaluator(fail_at={0: AssertionError("nothing may be scored again")})
    assert bench.run().to_json() == first.to_json()


def test_what_the_lattice_proposed_first_stands_after_a_restart() -> None:
    bench = Bench(proposals=[(1, 1), (2, 2)], guard=FakeGuard({2: Terminated("killed")}))
    with pytest.raises(Terminated):
        bench.run()
    bench.guard, bench.more = FakeGuard(), {"proposals": [(3, 3)]}
    assert bench.run().to_json() == Bench(proposals=[(1, 1), (2, 2)]).run().to_json()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"pool_digest": "other"}, id="other candidates"),
        pytest.param({"split": SearchSplit(SPLIT.validation[1:], SPLIT.held_out)}, id="records"),
        pytest.param({"settings": replace(WHOLE, seed=7)}, id="other seed"),
    ],
)
def test_a_checkpoint_of_something_else_starts_the_search_anew(
    change: dict, caplog: pytest.LogCaptureFixture
) -> None:
    kept = MemoryCheckpoints()
    Bench(checkpoints=kept).run()
    config = change.pop("settings", WHOLE)
    outcome = Bench(config, checkpoints=kept, **change).run()
    assert "starts anew" in caplog.text
    assert outcome.to_json() == Bench(config, **change).run().to_json()


def test_a_raised_budget_goes_on_from_the_same_trials() -> None:
    bench = Bench(replace(WHOLE, max_calls=50), guard=FakeGuard({2: Terminated("killed")}))
    with pytest.raises(Terminated):
        bench.run()
    bench.settings, bench.guard = WHOLE, FakeGuard()
    bench.evaluator = FakeEvaluator()
    assert len(bench.run().trials) == 8
    assert len(bench.evaluator.asked) == 6 + 2


def test_a_checkpoint_that_is_nonsense_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    kept = MemoryCheckpoints()
    kept.save({"version": 1, "trials": "many"})
    assert len(Bench(checkpoints=kept).run().trials) == 8
    assert "left out" in caplog.text


def test_progress_is_told_after_each_trial_and_once_after_a_restart() -> None:
    told: list[int] = []
    bench = Bench(
        on_trial=lambda trials: told.append(len(trials)), guard=FakeGuard({3: Terminated("")})
    )
    with pytest.raises(Terminated):
        bench.run()
    bench.guard = FakeGuard()
    bench.run()
    assert told == [1, 2, 3, 3, 4, 5, 6, 7, 8]


def test_the_prior_steers_which_records_a_minibatch_takes() -> None:
    losses = [0.0] * 12
    gains = [40.0] * 6 + [0.0] * 6
    prior = Posterior.from_json({"losses": losses, "gains": gains})
    taken = [0] * 12
    for seed in range(30):
        outcome = Bench(replace(MINI, seed=seed, trials=3), prior=prior).run()
        for row in outcome.trials[1].rows or ():
            taken[row] += 1
    assert sum(taken[6:]) > 1.5 * sum(taken[:6])


def test_tpe_finds_a_better_program_than_the_same_number_of_first_ones() -> None:
    def score(choice, record):
        return 0.1 * choice["plan"] + 0.02 * choice["act"] + 0.01 * hashed(record)

    outcome = Bench(SearchSettings(trials=24), counts=(8, 8), evaluator=FakeEvaluator(score)).run()
    assert outcome.choice["plan"] == 7


def test_an_outcome_survives_json() -> None:
    outcome = Bench(MINI, archived=(1, 2)).run()
    again = GroupOutcome.from_json(outcome.to_json())
    assert again.to_json() == outcome.to_json()
    assert again.group == GROUP


@pytest.mark.parametrize("data", [{}, {"version": 2}, {"version": 1, "group": "00"}])
def test_what_is_no_outcome_is_refused(data: dict) -> None:
    with pytest.raises(ValueError, match=r".+"):
        GroupOutcome.from_json(data)


@pytest.mark.parametrize("every", [1, 3, 5, 50])
@pytest.mark.parametrize("size", [0, 4])
def test_a_search_scores_no_more_records_than_its_share_is_made_for(size: int, every: int) -> None:
    config = SearchSettings(trials=15, minibatch_size=size, full_evaluation_every=every)
    outcome = Bench(config, archived=(1, 1)).run()
    scored = sum(len(trial.scores) for trial in outcome.trials)
    assert scored <= 15 * config.records_per_trial(12)


@pytest.mark.parametrize(
    ("size", "records", "expected"),
    [
        (None, 50, None),
        (None, 51, 35),
        (0, 500, None),
        (20, 500, 20),
        (20, 20, None),
        (20, 10, None),
    ],
)
def test_the_size_of_a_minibatch(size: int | None, records: int, expected: int | None) -> None:
    assert SearchSettings(minibatch_size=size).minibatch(records) == expected
