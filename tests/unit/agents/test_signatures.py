from typing import Any, Literal, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from cascade_operator.agents.jsonvalues import NotJsonError, plain
from cascade_operator.agents.signatures import node_signature, python_type
from cascade_operator.api.cascade import FieldSpec, NodeSpec
from cascade_operator.api.fieldtypes import parse_type


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("str", str),
        ("int", int),
        ("float", float),
        ("bool", bool),
        ("json", Any),
        ("list[json]", list[Any]),
        ("dict[str, list[int]]", dict[str, list[int]]),
        ('Literal["a", "b"]', Literal["a", "b"]),
        ("int?", int | None),
    ],
)
def test_field_types_become_python_types(text, expected):
    assert python_type(parse_type(text)) == expected


def test_records_become_models_that_keep_names_and_optional_fields():
    kind = python_type(
        parse_type("{class: str, model_id: int?, items: list[{copy: bool}]}"), "thing"
    )
    value = TypeAdapter(kind).validate_python(
        {"class": 5, "items": [{"copy": True}], "unknown": "ignored"}
    )
    assert plain(value) == {"class": "5", "items": [{"copy": True}]}
    assert plain(TypeAdapter(kind).validate_python({"class": "x", "model_id": 3, "items": []})) == {
        "class": "x",
        "model_id": 3,
        "items": [],
    }


def test_a_record_without_a_required_field_is_refused():
    kind = python_type(parse_type("{name: str, value: json}"), "argument")
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python({"name": "x"})


def test_equal_records_are_distinct_classes():
    # DSPy's BAML rendering takes one class that occurs twice for a recursive type.
    kind = python_type(parse_type("{a: {x: int}, b: {x: int}}"), "pair")
    a, b = (kind.model_fields[name].annotation for name in ("a", "b"))
    assert a is not b


def test_a_node_becomes_a_signature_with_its_descriptions_and_instructions():
    node = NodeSpec(
        name="n",
        instructions="Do it well.",
        inputs=[FieldSpec(name="request", description="what the user wants")],
        outputs=[FieldSpec(name="count", type="int")],
    )
    built = node_signature(node)
    assert built.signature.instructions == "Do it well."
    assert (
        built.signature.input_fields["request"].json_schema_extra["desc"] == "what the user wants"
    )
    assert built.signature.output_fields["count"].annotation is int


@pytest.mark.parametrize(
    "name", ["signature", "demos", "instructions", "json", "copy", "self", "_x", "class", "lm"]
)
def test_names_that_dspy_trips_over_are_changed_in_the_prompt_only(name):
    built = node_signature(NodeSpec(name="n", signature=f"{name} -> out"))
    safe = built.inputs[name]
    assert safe != name
    assert safe.isidentifier()
    assert list(built.signature.input_fields) == [safe]


def test_an_input_and_an_output_may_share_a_name():
    node = NodeSpec(
        name="n", inputs=[FieldSpec(name="text")], outputs=[FieldSpec(name="text", type="int")]
    )
    built = node_signature(node)
    assert built.inputs["text"] != built.outputs["text"]
    assert list(built.signature.output_fields) == [built.outputs["text"]]


def test_reasoning_stays_free_for_a_chain_of_thought():
    plain_node = node_signature(NodeSpec(name="n", signature="q -> reasoning"))
    thinking = node_signature(
        NodeSpec(name="n", signature="q -> reasoning", module="ChainOfThought")
    )
    assert plain_node.outputs["reasoning"] == "reasoning"
    assert thinking.outputs["reasoning"] != "reasoning"


@given(
    st.lists(st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,8}", fullmatch=True), min_size=2, unique=True)
)
def test_safe_names_are_distinct_identifiers(names):
    node = NodeSpec(
        name="n",
        inputs=[FieldSpec(name=name) for name in names[:-1][:32]],
        outputs=[FieldSpec(name=names[-1])],
    )
    built = node_signature(node)
    safe = [*built.inputs.values(), *built.outputs.values()]
    assert len(set(safe)) == len(safe)
    assert all(one.isidentifier() and not one.startswith("_") for one in safe)


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"x": {1, 2}}], ids=str)
def test_what_json_cannot_hold_is_refused(value):
    with pytest.raises(NotJsonError):
        plain(value)


def test_half_a_character_becomes_a_question_mark():
    assert plain({"x": ["a\ud83d"]}) == {"x": ["a?"]}


def test_nulls_inside_any_json_stay():
    kind = python_type(parse_type("{arguments: dict[str, json]}"), "call")
    value = TypeAdapter(kind).validate_python({"arguments": {"a": None}})
    assert plain(value) == {"arguments": {"a": None}}
    assert get_args(python_type(parse_type("str?")))
