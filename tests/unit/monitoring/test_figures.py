"""How figures are written."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_operator.monitoring.figures import (
    age_text,
    count_text,
    delta_text,
    group_text,
    memory_text,
    percent_text,
    score_text,
    seconds_text,
    short_names,
)

FOUR = (
    "agent-00-autogen-bmad",
    "agent-10-baml-transform",
    "agent-20-speckit-dspy",
    "agent-30-dspy-execution",
)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        pytest.param(None, "-", id="none"),
        pytest.param(0, "0", id="zero"),
        pytest.param(900, "900", id="bytes"),
        pytest.param(2048, "2Ki", id="whole-kibibytes"),
        pytest.param(212 * 2**20 + 5, "212Mi", id="rounded"),
        pytest.param(3 * 2**29, "1.5Gi", id="one-decimal"),
    ],
)
def test_memory_is_in_binary_units(size, text):
    assert memory_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        pytest.param(None, "-", id="none"),
        pytest.param(-3, "0s", id="clock-went-back"),
        pytest.param(59.6, "1m00s", id="rounds-into-minutes"),
        pytest.param(130, "2m10s", id="minutes"),
        pytest.param(3 * 3600 + 5 * 60, "3h05m", id="hours"),
        pytest.param(26 * 3600, "26h00m", id="over-a-day"),
    ],
)
def test_durations_take_two_units_at_most(seconds, text):
    assert seconds_text(seconds) == text


MINUTE, HOUR, DAY, YEAR = 60, 3600, 86400, 365 * 86400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        pytest.param(None, "-", id="none"),
        pytest.param(-3, "0s", id="clock-went-back"),
        pytest.param(119.9, "119s", id="seconds"),
        pytest.param(2 * MINUTE, "2m", id="whole-minutes"),
        pytest.param(9 * MINUTE + 5, "9m5s", id="minutes-and-seconds"),
        pytest.param(3 * HOUR - 1, "179m", id="minutes"),
        pytest.param(3 * HOUR + 12 * MINUTE, "3h12m", id="hours-and-minutes"),
        pytest.param(47 * HOUR + 59 * MINUTE, "47h", id="hours"),
        pytest.param(3 * DAY + 4 * HOUR, "3d4h", id="days-and-hours"),
        pytest.param(45 * DAY + 5 * HOUR, "45d", id="days"),
        pytest.param(2 * YEAR, "2y", id="whole-years"),
        pytest.param(3 * YEAR + 40 * DAY, "3y40d", id="years-and-days"),
        pytest.param(9 * YEAR + 40 * DAY, "9y", id="years"),
    ],
)
def test_ages_are_those_of_kubectl(seconds, text):
    assert age_text(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (9999, "9999"), (12_345, "12.3k"), (1_200_000, "1.2M"), (3 * 10**9, "3.0G")],
)
def test_counts_are_exact_while_they_are_short(count, text):
    assert count_text(count) == text


def test_scores_have_four_decimals_and_missing_ones_a_dash():
    assert (score_text(0.5), score_text("0.61234"), score_text(None)) == ("0.5000", "0.6123", "-")
    assert delta_text("0.6631", "0.6123") == "+0.0508"
    assert delta_text(0.5, 0.6) == "-0.1000"
    assert delta_text(None, 0.6) == delta_text(0.6, "") == "-"


def test_a_share_of_nothing_is_nothing():
    assert (percent_text(3, 4), percent_text(0, 0)) == ("75 %", "0 %")


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        pytest.param(FOUR, ["autogen", "baml", "speckit", "dspy"], id="the-default-agents"),
        pytest.param(["draft"], ["draft"], id="one-node"),
        pytest.param(
            ["draft", "review-a", "review-b"], ["draft", "review-a", "review-b"], id="share-a-word"
        ),
        pytest.param(
            ["00-review", "10-review"], ["00-review", "10-review"], id="only-numbers-differ"
        ),
        pytest.param(["a-10", "a-20"], ["10", "20"], id="only-numbers-left"),
        pytest.param(["plan", "plan-b"], ["plan", "plan-b"], id="one-begins-the-other"),
    ],
)
def test_short_names_tell_nodes_apart(nodes, expected):
    assert list(short_names(nodes).values()) == expected


words = st.lists(st.sampled_from(["agent", "00", "10", "a", "plan", "b"]), min_size=1, max_size=4)


@settings(deadline=None)
@given(st.lists(words.map("-".join), unique=True, max_size=6))
def test_short_names_are_distinct_parts_of_the_names(nodes):
    names = short_names(nodes)
    assert list(names) == nodes
    assert len(set(names.values())) == len(nodes)
    assert all(short and short in node for node, short in names.items())


def test_a_group_is_named_by_its_nodes():
    assert group_text(FOUR[::2], short_names(FOUR)) == "autogen+speckit"
