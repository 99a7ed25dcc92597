from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.agents.candidate import Candidate, Demonstration
from cascade_operator.api.errors import DataError
from cascade_operator.training.pool import MAX_BYTES, CandidatePool
from cascade_operator.training.warm_start import join_archived

DEMO = Demonstration("r1", {"request": "x"}, {"brief": "y"})
POOL = CandidatePool(
    {
        "plan": (Candidate("Do."), Candidate("Do it.", (DEMO,), "proposed")),
        "act": (Candidate("Go."),),
    }
)


def test_a_pool_reads_as_written_in_cascade_order() -> None:
    again = CandidatePool.from_bytes(POOL.to_bytes())
    assert again == POOL
    assert list(again.candidates) == ["plan", "act"]
    assert again.digest == POOL.digest
    assert again.counts == {"plan": 2, "act": 1}


def test_the_digest_is_of_what_runs_not_of_where_it_came_from() -> None:
    relabelled = CandidatePool(
        {
            "plan": (Candidate("Do."), Candidate("Do it.", (DEMO,), "archived")),
            "act": (Candidate("Go."),),
        }
    )
    other = CandidatePool({**POOL.candidates, "act": (Candidate("Go!"),)})
    assert relabelled.digest == POOL.digest
    assert other.digest != POOL.digest


def test_a_choice_takes_candidate_0_where_it_says_nothing() -> None:
    assert POOL.programs({"plan": 1}) == {"plan": POOL.get("plan", 1), "act": POOL.get("act", 0)}


@pytest.mark.parametrize(("node", "index"), [("plan", 2), ("plan", -1), ("other", 0)])
def test_a_candidate_that_is_not_there_is_an_error(node: str, index: int) -> None:
    with pytest.raises(DataError, match=node):
        POOL.get(node, index)


def broken(**changes):
    return json.dumps(POOL.to_json() | changes).encode()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b"[" * 100_000, id="nested"),
        pytest.param(b"{}", id="no fields"),
        pytest.param(broken(version=2), id="version"),
        pytest.param(broken(more=1), id="unknown field"),
        pytest.param(broken(candidates=[]), id="no object"),
        pytest.param(broken(candidates={}), id="no nodes"),
        pytest.param(broken(candidates={str(n): [] for n in range(7)}), id="too many nodes"),
        pytest.param(broken(candidates={"plan": []}), id="no candidates"),
        pytest.param(broken(candidates={"plan": [{"instructions": 1}]}), id="no candidate"),
        pytest.param(b" " * (MAX_BYTES + 1), id="too large"),
    ],
)
def test_what_is_no_pool_is_refused(data: bytes) -> None:
    with pytest.raises(DataError):
        CandidatePool.from_bytes(data)


@given(st.binary(max_size=100))
def test_random_bytes_are_refused_in_one_way(data: bytes) -> None:
    with pytest.raises(DataError):
        CandidatePool.from_bytes(data)


def test_archived_candidates_join_behind_what_is_there() -> None:
    archived = Candidate("Old.", (DEMO, Demonstration("gone", {}, {}), Demonstration(None, {}, {})))
    joined = join_archived(POOL, {"act": [archived], "unknown": [archived]}, {"r1"})
    assert joined.pool.candidates["act"] == (
        Candidate("Go."),
        Candidate("Old.", (DEMO,), "archived"),
    )
    assert joined.pool.candidates["plan"] == POOL.candidates["plan"]
    assert joined.dropped == 2
    assert joined.choice({"act": archived}) == {"act": 1}


def test_an_archived_candidate_the_pool_has_is_not_added_again() -> None:
    archived = Candidate("Do it.", (DEMO,), "bootstrapped")
    joined = join_archived(POOL, {"plan": [archived, Candidate("Do.")]}, {"r1"})
    assert joined.pool == POOL
    assert joined.choice({"plan": archived}) == {"plan": 1}
    assert joined.choice({"plan": Candidate("Do.")}) == {"plan": 0}


def test_a_program_with_a_candidate_that_did_not_join_is_no_choice() -> None:
    joined = join_archived(POOL, {"plan": [Candidate("Do.")]}, {"r1"})
    assert joined.choice({"plan": Candidate("Do."), "act": Candidate("Go.")}) is None
