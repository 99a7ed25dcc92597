"""JSON that is read strictly: what comes back can be written again."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.api.canonical import canonical_json, strict_json

NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    NUMBERS | st.text() | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "[Infinity]",
        "1e309",
        "-1E+400",
        "[1.5, 1e999]",
        "9" * 310 + ".0",
        "9" * 290 + "e99",
        "1" * 301,
        "[" + " " * 37 + "1" * 5000 + "]",
        "0." + "9" * 300 + "e400",
        "{",
        "",
        b"\xff",
    ],
    ids=lambda text: str(text)[:16],
)
def test_what_cannot_be_written_again_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        strict_json(text)


@pytest.mark.parametrize(
    "text",
    ["1e308", "-1.7976931348623157e308", "1e-400", "0." + "1" * 400, "1" * 300, '"1e999"'],
    ids=lambda text: text[:16],
)
def test_what_a_double_holds_is_read_as_python_reads_it(text):
    assert strict_json(text) == json.loads(text)


@given(VALUES)
def test_what_was_written_is_read_again(value):
    try:
        text = canonical_json(value)
        text.encode()
    except ValueError:  # half a character
        return
    assert strict_json(text) == strict_json(text.encode()) == json.loads(text)


@given(st.text("0123456789.eE+-", min_size=1, max_size=320))
def test_no_text_of_digits_gives_an_infinity(text):
    try:
        found = strict_json(text)
    except ValueError:
        return
    assert math.isfinite(found)


def test_whole_numbers_of_any_size_are_read_where_that_is_asked():
    assert strict_json(f"[{10**400}]", any_whole=True) == [10**400]
    with pytest.raises(ValueError, match="no JSON number"):
        strict_json("[1e999]", any_whole=True)


def test_an_object_is_made_of_its_pairs():
    assert strict_json('{"a": 1, "a": 2}', pairs=list) == [("a", 1), ("a", 2)]
