from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.api.groups import NodeGroup
from cascade_operator.training.budget import Demand, group_shares, prepare_share

NAMES = ("a", "b", "c", "d")
GROUPS = [
    NodeGroup(positions, tuple(NAMES[p] for p in positions))
    for size in range(1, 5)
    for positions in itertools.combinations(range(4), size)
]


def demand(trials: int = 40) -> Demand:
    return Demand(
        trials=trials,
        records_per_trial=30,
        held_out=20,
        calls_per_record={group.key: 4 for group in GROUPS},
        candidates=dict.fromkeys(NAMES, 8),
    )


def test_a_small_group_needs_no_more_trials_than_it_has_programs() -> None:
    assert demand().of(GROUPS[0]) == (8 * 30 + 40) * 4
    assert demand().of(GROUPS[4]) == (40 * 30 + 40) * 4


@pytest.mark.parametrize(("total", "share"), [(None, None), (1000, 200), (3, 0)])
def test_proposals_take_a_fifth(total: int | None, share: int | None) -> None:
    assert prepare_share(total) == share


def test_without_a_budget_no_group_is_limited() -> None:
    assert set(group_shares(None, GROUPS, demand()).values()) == {None}


@given(st.integers(1, 10**7))
def test_the_shares_fit_into_the_budget_and_are_equal_within_a_level(total: int) -> None:
    shares = group_shares(total, GROUPS, demand())
    assert sum(share or 0 for share in shares.values()) + (prepare_share(total) or 0) <= total
    for size in range(1, 5):
        assert len({shares[group.key] for group in GROUPS if group.size == size}) == 1


def test_a_budget_that_covers_the_demand_binds_nobody() -> None:
    wanted = sum(demand().of(group) for group in GROUPS)
    shares = group_shares(int(wanted / 0.8) + 100, GROUPS, demand())
    assert all((shares[group.key] or 0) >= demand().of(group) for group in GROUPS)


def test_a_level_gets_what_it_can_use() -> None:
    shares = group_shares(100_000, GROUPS, demand())
    single, pair = shares["00"] or 0, shares["00_01"] or 0
    assert single / pair == pytest.approx(demand().of(GROUPS[0]) / demand().of(GROUPS[4]), rel=0.01)
