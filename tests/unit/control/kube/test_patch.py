"""Merge patches: the smallest that does it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.control.kube.patch import merge_diff


def merged(target, patch):
    """RFC 7386, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


VALUES = st.recursive(
    st.booleans() | st.integers(0, 3) | st.sampled_from(["", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


@given(OBJECTS, OBJECTS)
def test_the_patch_makes_one_of_the_other(before, after):
    assert merged(before, merge_diff(before, after)) == after


@given(OBJECTS)
def test_nothing_is_sent_where_nothing_differs(same):
    assert merge_diff(same, same) == {}


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        pytest.param({"a": 1}, {}, {"a": None}, id="a field that goes"),
        pytest.param({}, {"a": {"b": 1}}, {"a": {"b": 1}}, id="a new object"),
        pytest.param({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, {"a": {"c": None}}, id="deep"),
        pytest.param({"a": [1]}, {"a": [1, 2]}, {"a": [1, 2]}, id="a list is whole"),
        pytest.param({"a": {"b": 1}}, {"a": 3}, {"a": 3}, id="another type"),
        pytest.param({"a": 1}, {"a": {}}, {"a": {}}, id="an empty object"),
    ],
)
def test_a_patch_is_small(before, after, patch):
    assert merge_diff(before, after) == patch
