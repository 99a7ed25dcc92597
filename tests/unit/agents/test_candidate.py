import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.agents.candidate import (
    MAX_DEMONSTRATIONS,
    MAX_INSTRUCTIONS,
    Candidate,
    Demonstration,
)
from cascade_operator.api.errors import DataError

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
_fields = st.dictionaries(st.text(max_size=5), _json, max_size=3)
_demonstrations = st.builds(Demonstration, st.none() | st.text(max_size=9), _fields, _fields)
_candidates = st.builds(
    Candidate,
    st.text(max_size=40),
    st.lists(_demonstrations, max_size=3).map(tuple),
    st.sampled_from(["base", "proposed", "bootstrapped", "archived", "labeled"]),
)


@given(_candidates)
def test_json_gives_the_same_candidate_back(candidate):
    again = Candidate.from_json(json.loads(json.dumps(candidate.to_json())))
    assert again == candidate
    assert again.digest == candidate.digest


def test_the_digest_tells_programs_apart_and_not_where_they_come_from():
    shown = (Demonstration("r1", {"a": 1}, {"b": 2}),)
    one = Candidate("x", shown, "base")
    assert (
        one.digest == Candidate("x", (Demonstration(None, {"a": 1}, {"b": 2}),), "archived").digest
    )
    assert one.digest != Candidate("y", shown).digest
    assert one.digest != Candidate("x").digest


def test_half_characters_never_reach_a_prompt_or_a_file():
    candidate = Candidate("a\ud83d", (Demonstration("r", {"x": "\udc00"}, {}),))
    assert candidate.instructions == "a?"
    assert json.dumps(candidate.to_json(), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "change",
    [
        {"instructions": 5},
        {"instructions": "x" * (MAX_INSTRUCTIONS + 1)},
        {"demonstrations": {}},
        {
            "demonstrations": [{"recordId": None, "inputs": {}, "outputs": {}}]
            * (MAX_DEMONSTRATIONS + 1)
        },
        {"demonstrations": [{"recordId": 7, "inputs": {}, "outputs": {}}]},
        {"demonstrations": [{"recordId": "r", "inputs": [], "outputs": {}}]},
        {"demonstrations": [{"recordId": "r", "inputs": {}, "outputs": {"x": "y" * 200_000}}]},
        {"demonstrations": [{"recordId": "r", "inputs": {}, "outputs": {"x": float("nan")}}]},
        {"source": "elsewhere"},
        {"extra": 1},
    ],
    ids=str,
)
def test_a_hostile_candidate_is_refused(change):
    with pytest.raises(DataError) as caught:
        Candidate.from_json(Candidate("x").to_json() | change)
    assert caught.value.mend


@pytest.mark.parametrize("value", [None, [], "x", 3, {}])
def test_what_is_no_object_is_refused(value):
    with pytest.raises(DataError):
        Candidate.from_json(value)
