"""A search that is ended anywhere and goes on is the search that was never ended."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_operator.api.errors import MemoryGateReached, ServiceUnavailable, Terminated
from cascade_operator.api.groups import NodeGroup
from cascade_operator.training.checkpoint import RedisCheckpoints, decode
from cascade_operator.training.posterior import Posterior
from cascade_operator.training.search import GroupSearch, SearchSplit
from cascade_operator.training.space import ProgramSpace
from cascade_operator.training.strategy import SearchSettings
from fakes.evaluator import FakeEvaluator, FakeGuard

GROUP = NodeGroup((0, 2), ("plan", "act"))
SPLIT = SearchSplit(tuple(f"v{i}" for i in range(9)), ("h0", "h1"))
COUNTS = (4, 3)
programs = st.tuples(*(st.integers(0, count - 1) for count in COUNTS))


@dataclass
class Slots:
    """The part of a Redis that checkpoints use; it can lose or cut the newest slot."""

    data: dict[str, bytes] = field(default_factory=dict)

    def getex(self, name, *, ex):
        return self.data.get(name)

    def set(self, name, value, *, ex):
        self.data[name] = value

    def damage_newest(self, how):
        serials = {}
        for name, value in self.data.items():
            with contextlib.suppress(ValueError):  # cut by an earlier end
                serials[name] = decode(value).serial
        if not serials:
            return
        newest = max(serials, key=serials.__getitem__)
        if how == "lost":
            del self.data[newest]
        elif how == "cut":
            self.data[newest] = self.data[newest][: len(self.data[newest]) // 2]


@dataclass(frozen=True)
class Case:
    settings: SearchSettings
    archived: tuple[int, int] | None
    proposals: list[tuple[int, int]]
    prior: Posterior

    def search(self, slots, *, evaluator=None, guard=None):
        return GroupSearch(
            GROUP,
            ProgramSpace(GROUP.nodes, COUNTS),
            SPLIT,
            self.settings,
            evaluator=evaluator or FakeEvaluator(),
            checkpoints=RedisCheckpoints(slots, "c"),
            guard=guard or FakeGuard(),
            archived=self.archived,
            proposals=self.proposals,
            prior=self.prior,
        )


@st.composite
def cases(draw):
    counts = st.lists(st.floats(0, 8), min_size=9, max_size=9)
    settings_ = SearchSettings(
        seed=draw(st.integers(0, 2**31 - 1)),
        trials=draw(st.integers(1, 11)),
        minibatch_size=draw(st.sampled_from([0, 1, 3, 8])),
        full_evaluation_every=draw(st.integers(1, 5)),
        patience=draw(st.sampled_from([2, 10])),
        calls_per_record=draw(st.integers(1, 3)),
        max_calls=draw(st.none() | st.integers(1, 250)),
    )
    return Case(
        settings_,
        draw(st.none() | programs),
        draw(st.lists(programs, max_size=4)),
        Posterior.from_json({"losses": draw(counts), "gains": draw(counts)}),
    )


ends = st.tuples(
    st.sampled_from(["between trials", "within a trial"]),
    st.integers(0, 13),
    st.sampled_from([Terminated("told to"), MemoryGateReached("full"), ServiceUnavailable("away")]),
    st.sampled_from(["whole", "lost", "cut"]),
)


@settings(max_examples=60, deadline=None)
@given(cases(), st.lists(ends, min_size=1, max_size=4))
def test_ended_anywhere_and_taken_up_again_it_ends_the_same(case, ended):
    plain = case.search(Slots()).run().to_json()
    slots = Slots()
    for place, after, error, damage in ended:
        guard = FakeGuard({after: error}) if place == "between trials" else FakeGuard()
        evaluator = FakeEvaluator(fail_at={after: error} if place == "within a trial" else {})
        try:
            case.search(slots, evaluator=evaluator, guard=guard).run()
        except (Terminated, MemoryGateReached, ServiceUnavailable):
            slots.damage_newest(damage)
    assert case.search(slots).run().to_json() == plain


@settings(max_examples=40, deadline=None)
@given(cases(), st.integers(1, 11))
def test_killed_after_a_trial_no_trial_is_scored_again(case, after):
    slots = Slots()
    with contextlib.suppress(Terminated):
        case.search(slots, guard=FakeGuard({after: Terminated("told to")})).run()
    first = FakeEvaluator()
    outcome = case.search(slots, evaluator=first).run()
    again = FakeEvaluator()
    case.search(Slots(), evaluator=again).run()
    assert first.asked == again.asked[len(again.asked) - len(first.asked) :]
    done = min(after, len(outcome.trials))
    assert len(again.asked) - len(first.asked) >= done


@settings(max_examples=60, deadline=None)
@given(cases())
def test_whatever_is_asked_for_a_search_keeps_to_its_bounds(case):
    evaluator = FakeEvaluator()
    outcome = case.search(Slots(), evaluator=evaluator).run()
    trials = outcome.trials
    assert 1 <= len(trials) <= case.settings.trials
    calls = sum(len(ids) for _, ids in evaluator.asked) * case.settings.calls_per_record
    # Without a baseline there is no result, so that one and its held-out scores are always made.
    least = (len(SPLIT.validation) + len(SPLIT.held_out)) * case.settings.calls_per_record
    assert case.settings.max_calls is None or calls <= max(case.settings.max_calls, least)
    assert outcome.score == max(t.score for t in trials if t.whole)
    assert ((outcome.posterior.mean > 0) & (outcome.posterior.mean < 1)).all()
