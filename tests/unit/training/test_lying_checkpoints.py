"""Checkpoints with an honest digest and a lie inside, as an archive from elsewhere may hold one."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_operator.api.groups import NodeGroup
from cascade_operator.training import checkpoint
from cascade_operator.training.checkpoint import decode
from cascade_operator.training.search import GroupSearch, SearchSplit
from cascade_operator.training.space import ProgramSpace
from cascade_operator.training.strategy import SearchSettings
from fakes.evaluator import FakeEvaluator, FakeGuard

GROUP = NodeGroup((0, 2), ("plan", "act"))
SPLIT = SearchSplit(tuple(f"v{i}" for i in range(6)), ("h0", "h1"))
SETTINGS = SearchSettings(trials=7, minibatch_size=3, full_evaluation_every=3)


class Kept:
    """A checkpoint store that answers with what it was given first, whatever it says."""

    def __init__(self, state=None):
        self.state = state
        self.saved = []

    def load(self):
        return copy.deepcopy(self.state)

    def save(self, state):
        self.saved.append(json.loads(json.dumps(state)))


def search(kept, evaluator=None):
    return GroupSearch(
        GROUP,
        ProgramSpace(GROUP.nodes, (3, 3)),
        SPLIT,
        SETTINGS,
        evaluator=evaluator or FakeEvaluator(),
        checkpoints=kept,
        guard=FakeGuard(),
        archived=(2, 1),
        proposals=[(1, 1)],
    )


FIRST = Kept()
OUTCOME = search(FIRST).run().to_json()
FINISHED = FIRST.saved[-1]
HALFWAY = FIRST.saved[3]


def changed(state, path, value):
    made = copy.deepcopy(state)
    here = made
    for part in path[:-1]:
        here = here[part]
    here[path[-1]] = value
    return made


LIES = {
    "trials-of-text": (("trials",), "many"),
    "no-number": (("trials", 1, "number"), None),
    "numbers-out-of-order": (("trials", 1, "number"), 5),
    "negative-number": (("trials", 0, "number"), -1),
    "a-program-that-does-not-exist": (("trials", 1, "program"), [9, 9]),
    "a-program-of-one-node": (("trials", 1, "program"), [1]),
    "a-huge-index": (("trials", 1, "program"), [10**400, 0]),
    "a-record-that-does-not-exist": (("trials", 2, "rows"), [0, 1, 99]),
    "a-record-twice": (("trials", 2, "rows"), [1, 1, 2]),
    "too-many-scores": (("trials", 0, "scores"), [0.5] * 99),
    "no-scores": (("trials", 0, "scores"), []),
    "a-score-of-nan": (("trials", 0, "scores", 0), float("nan")),
    "a-negative-score": (("trials", 0, "scores", 0), -1.0),
    "a-huge-score": (("trials", 0, "scores", 0), 1e300),
    "a-score-beyond-numbers": (("trials", 0, "scores", 0), 10**400),
    "a-mean-that-is-none": (("trials", 0, "score"), 0.99),
    "an-infinite-mean": (("trials", 0, "score"), float("inf")),
    "more-failures-than-records": (("trials", 0, "parseFailures"), 10**9),
    "an-unknown-origin": (("trials", 0, "origin"), "elsewhere"),
    "another-first-program": (("trials", 0, "program"), [1, 1]),
    "a-first-trial-on-some-records": (("trials", 0, "rows"), [0, 1, 2, 3, 4, 5]),
    "an-archived-program-that-does-not-exist": (("archived",), [7, 7]),
    "a-proposal-that-does-not-exist": (("proposals",), [[0, 7]]),
    "a-proposal-of-text": (("proposals",), ["x"]),
    "a-proposal-without-end": (("proposals",), [[float("inf"), 0]]),
    "another-version": (("version",), 99),
    "finished-by-nobody": (("finished",), {"reason": "Bored"}),
    "finished-with-too-few-scores": (
        ("finished",), {"reason": "MaxTrials", "heldOut": [0.5], "baselineHeldOut": None}),
    "finished-with-a-score-of-7": (
        ("finished",), {"reason": "MaxTrials", "heldOut": [7, 7], "baselineHeldOut": None}),
}  # fmt: skip


@pytest.mark.parametrize(("path", "value"), LIES.values(), ids=LIES)
@pytest.mark.parametrize("state", [HALFWAY, FINISHED], ids=["halfway", "finished"])
def test_a_lie_makes_the_search_start_anew_and_say_so(state, path, value, caplog):
    outcome = search(Kept(changed(state, path, value))).run()
    assert outcome.to_json() == OUTCOME
    assert "left out, the search starts anew" in caplog.text


def test_the_truth_is_gone_on_from(caplog):
    evaluator = FakeEvaluator()
    assert search(Kept(HALFWAY), evaluator).run().to_json() == OUTCOME
    assert len(evaluator.asked) < len(OUTCOME["trials"])
    assert "left out" not in caplog.text


def _paths(value, path=()):
    if path:
        yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from _paths(value[key], (*path, key))


nasty = st.one_of(
    st.none(), st.booleans(), st.integers(), st.just(10**400), st.floats(), st.text(max_size=3),
    st.lists(st.integers(-1, 9), max_size=7), st.lists(st.floats(0, 1), max_size=7),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_no_lie_ends_the_search(data):
    state = copy.deepcopy(data.draw(st.sampled_from([HALFWAY, FINISHED])))
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(list(_paths(state))))
        state = changed(state, path, data.draw(nasty))
        if not isinstance(state, dict):
            return
    outcome = search(Kept(state)).run()
    assert outcome.trials[0].program == (0, 0)
    assert all(0.0 <= score <= 1.0 for trial in outcome.trials for score in trial.scores)
    assert json.dumps(outcome.to_json(), allow_nan=False)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 400])
def test_a_slot_that_could_not_be_written_again_is_not_read(number):
    body = f'{{"trials":[{number}]}}'
    envelope = {
        "version": 1,
        "serial": 3,
        "digest": checkpoint._digest(3, body),
        "body": body,
    }
    with pytest.raises(ValueError, match="is no JSON number"):
        decode(json.dumps(envelope).encode())
