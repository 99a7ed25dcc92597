"""Names of children: deterministic, distinct, legal."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.control.manifests.naming import (
    MAX_NAME,
    config_map_name,
    job_name,
    label_value,
)

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")

sessions = st.from_regex(
    r"[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?){0,3}",
    fullmatch=True,
)


@pytest.mark.parametrize(
    ("part", "attempt", "expected"),
    [
        pytest.param("prepare", 1, "triage-r3-prepare", id="prepare"),
        pytest.param("00-02", 1, "triage-r3-00-02", id="group"),
        pytest.param("00-02", 2, "triage-r3-00-02-a2", id="second attempt"),
        pytest.param("archive-4", 1, "triage-r3-archive-4", id="numbered archive"),
    ],
)
def test_job_name_says_session_run_part_and_attempt(part, attempt, expected):
    assert job_name("triage", 3, part, attempt) == expected


def test_config_map_name():
    assert config_map_name("triage", 12) == "triage-r12-config"


@given(sessions, st.integers(1, 9999), st.integers(1, 99))
def test_names_are_legal_whatever_the_session_is_called(session, run, attempt):
    for name in (
        job_name(session, run, "00-01-02-03-04-05", attempt),
        config_map_name(session, run),
    ):
        assert len(name) <= MAX_NAME
        assert DNS_LABEL.fullmatch(name)
        assert f"-r{run}-" in name


@given(st.lists(sessions, min_size=2, max_size=2, unique=True))
def test_two_sessions_share_no_name(pair):
    first, second = (job_name(name, 1, "prepare") for name in pair)
    assert first != second


def test_a_dot_and_a_dash_stay_apart():
    assert job_name("a.b", 1, "prepare") != job_name("a-b", 1, "prepare")


def test_a_long_name_keeps_its_suffix_and_tells_two_apart():
    one, two = "a" * 100, "a" * 101
    assert job_name(one, 1, "00-02", 3).endswith("-r1-00-02-a3")
    assert job_name(one, 1, "00-02") != job_name(two, 1, "00-02")
    assert label_value(one) != label_value(two)
    assert len(label_value(one)) <= MAX_NAME
