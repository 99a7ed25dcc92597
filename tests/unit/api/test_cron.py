from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.api.cron import check_cron, check_zone, last_time, next_time


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "zone", "after", "found"),
    [
        pytest.param("*/20 * * * *", "Etc/UTC", utc(2026, 3, 1, 0, 20), utc(2026, 3, 1, 0, 40)),
        pytest.param("0 0 * * 7", "Etc/UTC", utc(2026, 3, 2), utc(2026, 3, 8), id="Sunday is 7"),
        pytest.param("0 3 * * mon", "Asia/Tokyo", utc(2026, 3, 1), utc(2026, 3, 1, 18), id="zone"),
        pytest.param("@Daily", "Etc/UTC", utc(2026, 3, 1), utc(2026, 3, 2), id="nickname"),
        pytest.param("0 0 13 * FRI", "Etc/UTC", utc(2026, 3, 1), utc(2026, 3, 6), id="either day"),
        pytest.param("0 0 29 2 *", "Etc/UTC", utc(2026, 3, 1), utc(2028, 2, 29), id="leap day"),
        pytest.param(
            "30 2 * * *", "Europe/Berlin", utc(2026, 3, 28, 12), utc(2026, 3, 29, 1), id="skipped"
        ),
        pytest.param(
            "30 2 * * *",
            "Europe/Berlin",
            utc(2026, 10, 24, 12),
            utc(2026, 10, 25, 0, 30),
            id="twice",
        ),
        pytest.param(
            "30 2 * * *",
            "Europe/Berlin",
            utc(2026, 10, 25, 0, 30),
            utc(2026, 10, 26, 1, 30),
            id="but once",
        ),
    ],
)
def test_when_a_schedule_fires_next(cron, zone, after, found):
    assert next_time(cron, zone, after) == found
    assert last_time(cron, zone, found) == found


def test_the_last_time_is_the_newest_that_was():
    assert last_time("0 * * * *", "Etc/UTC", utc(2026, 3, 1, 5, 59)) == utc(2026, 3, 1, 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("* * * *", "five fields", id="too few"),
        pytest.param("* * * * * *", "five fields", id="seconds"),
        pytest.param("60 * * * *", "minute field .* 0 to 59", id="out of range"),
        pytest.param("* 5-1 * * *", "hour field", id="backwards"),
        pytest.param("* * 0 * *", "day-of-month field", id="day zero"),
        pytest.param("* * * FOO *", "month field", id="no month"),
        pytest.param("*/0 * * * *", "minute field", id="step zero"),
        pytest.param("a * * * *", "minute field", id="letter"),
        pytest.param("@reboot", "five fields", id="unknown nickname"),
        pytest.param("0 0 30 2 *", "day-of-month field|never fires", id="a day that never comes"),
    ],
)
def test_the_wrong_field_is_named(text, message):
    with pytest.raises(ValueError, match=message):
        check_cron(text)


@pytest.mark.parametrize("name", ["Mars/Base", "../../etc/passwd", "", "Europe"])
def test_a_zone_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match="no time zone"):
        check_zone(name)


@given(st.text(max_size=40) | st.text("0123456789*/,-L#W ", max_size=20))
def test_no_text_raises_anything_else(text):
    with suppress(ValueError):
        found = next_time(text, "Etc/UTC", utc(2026, 3, 1))
        assert found is not None
        assert found > utc(2026, 3, 1)
        assert last_time(text, "Etc/UTC", found + timedelta(seconds=59)) == found
