import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.traces.validated import Leaf, closest, json_equal, leaves

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abc", min_size=1, max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)
CITY = {"anyOf": ["Paris", "Paris, FR"]}
UNIT = {"anyOf": ["C", ""], "optional": True}


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        pytest.param({"city": "Paris, FR"}, {"city": "Paris, FR"}, id="the output's own value"),
        pytest.param({"city": "Rome"}, {"city": "Paris"}, id="else the first"),
        pytest.param({}, {"city": "Paris"}, id="a required leaf stays"),
        pytest.param({"city": "Paris", "unit": "F"}, {"city": "Paris", "unit": "C"}, id="wrong"),
        pytest.param({"city": "Paris", "unit": ""}, {"city": "Paris", "unit": ""}, id="empty"),
        pytest.param("no object", {"city": "Paris"}, id="output of another shape"),
    ],
)
def test_closest_resolves_towards_the_output(output, expected):
    assert closest({"city": CITY, "unit": UNIT}, output) == expected


def test_closest_descends_into_lists_and_drops_optional_items():
    validated = {"xs": [{"a": {"anyOf": [1, 2]}}, UNIT]}
    assert closest(validated, {"xs": [{"a": 2}]}) == {"xs": [{"a": 2}]}


@given(JSON)
def test_plain_fields_resolve_to_themselves_whatever_the_output(value):
    assert closest(value, value) == value
    assert closest(value, {"other": 1}) == value


@given(JSON)
def test_an_output_equal_to_the_fields_meets_every_leaf(value):
    assert all(leaf.met_by(value) for leaf in leaves(value))


def test_leaves_are_scalars_empty_containers_and_choices():
    found = leaves({"a": [1, {}], "b": UNIT})
    assert found == (
        Leaf(("a", 0), (1,)),
        Leaf(("a", 1), ({},)),
        Leaf(("b",), ("C", ""), optional=True),
    )


@pytest.mark.parametrize(
    ("output", "met"),
    [
        pytest.param({"a": "C"}, True, id="accepted"),
        pytest.param({}, True, id="left out"),
        pytest.param({"a": "F"}, False, id="wrong"),
        pytest.param({"a": None}, False, id="null is not left out"),
        pytest.param([], True, id="another shape has nothing there"),
    ],
)
def test_an_optional_leaf(output, met):
    assert Leaf(("a",), ("C",), optional=True).met_by(output) is met


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (1, 1.0, True),
        (True, 1, False),
        (0, False, False),
        ([1, [True]], [1.0, [True]], True),
        ([1], [True], False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ("1", 1, False),
        (None, False, False),
    ],
)
def test_equality_is_that_of_json(left, right, same):
    assert json_equal(left, right) is same
    assert json_equal(right, left) is same


@pytest.mark.parametrize(
    ("leaf", "reason"),
    [
        ({"anyOf": []}, "at least one"),
        ({"anyOf": "text"}, "at least one"),
        ({"anyOf": [1], "optional": "yes"}, "true or false"),
        ({"anyOf": [1], "type": "int"}, "type"),
        ({"anyOf": [{"anyOf": [1]}]}, "another anyOf"),
        ({"anyOf": [[{"x": {"anyOf": [1]}}]]}, "another anyOf"),
    ],
)
def test_a_malformed_leaf_is_named(leaf, reason):
    with pytest.raises(ValueError, match=f"x/0: .*{reason}"):
        leaves({"x": [leaf]})
