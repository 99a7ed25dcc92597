from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.api.fieldtypes import (
    MAX_DEPTH,
    MAX_TEXT,
    Choice,
    Field,
    ListOf,
    MapOf,
    Optional_,
    Record,
    Scalar,
    Signature,
    parse_signature,
    parse_type,
)

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
SCALARS = st.sampled_from(["str", "int", "float", "bool", "json"]).map(Scalar)
VALUES = st.text(st.characters(exclude_characters="\"'\\", exclude_categories=("C",)), max_size=6)


def _compound(inner):
    maybe = st.one_of(inner, inner.map(_optional))
    return st.one_of(
        maybe.map(ListOf),
        maybe.map(MapOf),
        st.dictionaries(NAMES, maybe, min_size=1, max_size=3).map(
            lambda fields: Record(tuple(fields.items()))
        ),
    )


def _optional(kind):
    return kind if isinstance(kind, Optional_) else Optional_(kind)


TYPES = st.recursive(
    SCALARS | st.lists(VALUES, min_size=1, max_size=3, unique=True).map(lambda v: Choice(tuple(v))),
    _compound,
    max_leaves=6,
)


@given(TYPES)
def test_a_type_survives_its_text(kind):
    assert parse_type(str(kind)) == kind


@given(st.lists(st.tuples(NAMES, TYPES), min_size=2, max_size=5, unique_by=lambda f: f[0]))
def test_a_signature_survives_its_text(fields):
    made = [Field(name, kind) for name, kind in fields]
    signature = Signature(tuple(made[:1]), tuple(made[1:]))
    assert parse_signature(str(signature)) == signature


def test_an_untyped_field_is_a_string():
    signature = parse_signature("request, functions: list[json] -> brief")
    assert signature.inputs == (
        Field("request", Scalar("str")),
        Field("functions", ListOf(Scalar("json"))),
    )
    assert signature.outputs == (Field("brief", Scalar("str")),)


def test_records_choices_and_options_nest():
    kind = parse_type("{ name: str?, tags: list[Literal['a', \"b\"]] }")
    assert kind == Record(
        (("name", Optional_(Scalar("str"))), ("tags", ListOf(Choice(("a", "b")))))
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("lst[str]", "'lst' is none at position 1", id="unknown type"),
        pytest.param("list[str", "']' after the list's type at position 9", id="not closed"),
        pytest.param("dict[int, str]", "dict's keys at position 6", id="key type"),
        pytest.param("{a: str, a: int}", "stands twice at position 10", id="name twice"),
        pytest.param("str??", "the end at position 5", id="option twice"),
        pytest.param("Literal[]", "a quoted string at position 9", id="no choice"),
        pytest.param("str $", "unexpected '\\$'", id="strange character"),
        pytest.param("", "found the end", id="empty"),
    ],
)
def test_what_is_wrong_and_where(text, message):
    with pytest.raises(ValueError, match=message):
        parse_type(text)


@pytest.mark.parametrize("text", ["a, b", "-> b", "a ->", "a -> b -> c", "a -> b c", "a, a -> b"])
def test_what_is_no_signature_is_refused(text):
    with pytest.raises(ValueError, match=r"expected|twice"):
        parse_signature(text)


def test_depth_and_length_are_bounded():
    deep = MAX_DEPTH + 1
    with pytest.raises(ValueError, match="nested deeper"):
        parse_type("list[" * deep + "str" + "]" * deep)
    with pytest.raises(ValueError, match="longer than"):
        parse_type("s" * (MAX_TEXT + 1))


@given(st.text(st.sampled_from("strinlad[]{}:,?->Literal\"' "), max_size=60))
def test_no_text_raises_anything_else(text):
    with suppress(ValueError):
        assert parse_signature(text).inputs
