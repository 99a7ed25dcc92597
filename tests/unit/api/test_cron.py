from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.api.cron import parse_cron


def test_each_field_becomes_its_numbers():
    cron = parse_cron("*/20 1-3 5,10/10 FEB mon-Wed")
    assert cron.minutes == {0, 20, 40}
    assert cron.hours == {1, 2, 3}
    assert cron.days == {5, 10, 20, 30}
    assert cron.months == {2}
    assert cron.weekdays == {1, 2, 3}
    assert (cron.any_day, cron.any_weekday) == (False, False)


def test_sunday_has_two_numbers():
    assert parse_cron("0 0 * * 7").weekdays == parse_cron("0 0 * * 0").weekdays == {0}


def test_a_nickname_is_its_expression():
    assert parse_cron("@Daily") == parse_cron("0 0 * * *")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("* * * *", "five fields", id="too few"),
        pytest.param("60 * * * *", "minute field .* 0 to 59", id="out of range"),
        pytest.param("* 5-1 * * *", "hour field", id="backwards"),
        pytest.param("* * 0 * *", "day of the month", id="day zero"),
        pytest.param("* * * FOO *", "month field", id="no month"),
        pytest.param("*/0 * * * *", "minute field", id="step zero"),
        pytest.param("a * * * *", "minute field", id="letter"),
        pytest.param("@reboot", "five fields", id="unknown nickname"),
    ],
)
def test_the_wrong_field_is_named(text, message):
    with pytest.raises(ValueError, match=message):
        parse_cron(text)


@given(st.text(max_size=40))
def test_no_text_raises_anything_else(text):
    with suppress(ValueError):
        cron = parse_cron(text)
        assert all((cron.minutes, cron.hours, cron.days, cron.months, cron.weekdays))
