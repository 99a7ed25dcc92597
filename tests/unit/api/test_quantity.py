import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.api.quantity import (
    format_duration,
    format_quantity,
    parse_decimal,
    parse_duration,
    parse_quantity,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("0", 0, id="zero"),
        pytest.param("1Ki", 1024, id="binary"),
        pytest.param("1k", 1000, id="decimal"),
        pytest.param("1.5Gi", 3 * 2**29, id="fraction"),
        pytest.param("500m", 1, id="rounded up"),
        pytest.param("1Ei", 2**60, id="largest suffix"),
    ],
)
def test_quantities_in_whole_units(text, value):
    assert parse_quantity(text) == value


def test_processors_keep_their_fraction():
    assert float(parse_decimal("250m")) == 0.25


@pytest.mark.parametrize(
    "text", ["", "Gi", "1 Gi", "-1", "1gi", "1e3", "1.", "٣", "1Gi\n", "9" * 40]
)
def test_what_is_no_quantity_is_refused(text):
    with pytest.raises(ValueError, match="not a quantity"):
        parse_quantity(text)


@given(st.integers(0, 10**15 - 1))
def test_a_quantity_survives_its_text(value):
    assert parse_quantity(format_quantity(value)) == value


@pytest.mark.parametrize(
    ("value", "text"), [(3 * 2**29, "1536Mi"), (2**30, "1Gi"), (1000, "1000"), (0, "0")]
)
def test_a_quantity_takes_the_largest_exact_suffix(value, text):
    assert format_quantity(value) == text


def test_a_negative_quantity_has_no_text():
    with pytest.raises(ValueError, match="not negative"):
        format_quantity(-1)


@pytest.mark.parametrize(
    ("text", "seconds"), [("24h", 86400), ("90s", 90), ("1h30m", 5400), ("1h1m1s", 3661)]
)
def test_durations_in_seconds(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "1d", "1m1h", "-1s", "1.5h", "1 h", "1h\n"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


@given(st.integers(0, 999_999 * 3600))
def test_a_duration_survives_its_text(seconds):
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan")])
def test_an_impossible_duration_has_no_text(seconds):
    with pytest.raises(ValueError, match="finite and not negative"):
        format_duration(seconds)
