import json

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.agents.adapters import response_format
from cascade_operator.agents.signatures import node_signature
from cascade_operator.api.cascade import NodeSpec
from cascade_operator.api.default_cascade import DEFAULT_CASCADE
from cascade_operator.api.errors import SpecError
from cascade_operator.training.calls.schema import SchemaBounds, bound_schema, strict_schema

_BOUNDS = SchemaBounds(text=100, nested_text=20, items=7, nested_items=3, json_depth=1)


def schema_of(signature):
    fields = node_signature(NodeSpec(name="n", signature=signature)).signature
    return response_format(fields)["json_schema"]["schema"]


def parts(schema):
    if isinstance(schema, dict):
        yield schema
        for inner in schema.values():
            yield from parts(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from parts(inner)


_types = st.recursive(
    st.sampled_from(["str", "int", "float", "bool", "json", 'Literal["a", "b"]', "str?"]),
    lambda t: (
        t.map(lambda x: f"list[{x}]")
        | t.map(lambda x: f"dict[str, {x}]")
        | st.tuples(t, t).map(lambda xy: f"{{a: {xy[0]}, b: {xy[1]}}}")
    ),
    max_leaves=4,
)


@given(_types)
def test_every_bounded_schema_is_closed_finite_and_without_references(text):
    bounded = bound_schema(schema_of(f"q -> out: {text}"))
    assert "$ref" not in json.dumps(bounded)
    assert "$defs" not in json.dumps(bounded)
    for part in parts(bounded):
        kind = part.get("type")
        if kind == "string" and "enum" not in part:
            assert part["maxLength"] <= 2_000, "llama.cpp refuses longer repetitions"
        if kind == "array":
            assert part["maxItems"] <= 2_000
            assert part["items"]
        if kind == "object" and "properties" in part and isinstance(part["properties"], dict):
            assert part["additionalProperties"] is False
            assert part["required"] == list(part["properties"])
        if kind == "object" and "properties" not in part:
            assert part["additionalProperties"]


@pytest.mark.parametrize("node", DEFAULT_CASCADE.nodes, ids=lambda n: n.name)
def test_the_default_agents_schemas_stay_small(node):
    schema = response_format(node_signature(node).signature)["json_schema"]["schema"]
    assert len(json.dumps(bound_schema(schema))) < 4_000


def test_bounds_go_where_none_are():
    bounded = bound_schema(schema_of("q -> text: str, names: list[str], any: json"), _BOUNDS)
    fields = bounded["properties"]
    assert fields["text"]["maxLength"] == 100
    assert fields["names"] == {
        "type": "array",
        "maxItems": 7,
        "items": {"type": "string", "maxLength": 20},
    }
    kinds = [choice["type"] for choice in fields["any"]["anyOf"]]
    assert kinds == ["string", "number", "boolean", "null", "array", "object"]
    assert fields["any"]["anyOf"][4]["items"]["anyOf"][-1]["type"] == "null"


def test_declared_bounds_stay():
    schema = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 5}}}
    assert bound_schema(schema)["properties"]["a"]["maxLength"] == 5


def test_maps_stay_open_with_bounded_values():
    bounded = bound_schema(schema_of("q -> args: dict[str, str]"), _BOUNDS)
    assert bounded["properties"]["args"] == {
        "type": "object",
        "additionalProperties": {"type": "string", "maxLength": 20},
    }


class _Endless(pydantic.BaseModel):
    inner: list["_Endless"]


@pytest.mark.parametrize(
    "schema",
    [
        _Endless.model_json_schema(),
        {"$ref": "#/$defs/missing"},
        {"$ref": "http://elsewhere/schema"},
    ],
    ids=["recursive", "dangling", "foreign"],
)
def test_unusable_schemas_are_refused_with_a_way_out(schema):
    with pytest.raises(SpecError) as caught:
        bound_schema(schema)
    assert caught.value.mend


def test_strict_mode_takes_closed_schemas_without_lengths():
    strict = strict_schema(bound_schema(schema_of("q -> a: str, b: list[{maxLength: str}]")))
    assert "maxLength" in json.dumps(strict["properties"]["b"]["items"]["properties"])
    assert "maxLength" not in strict["properties"]["a"]
    assert strict["properties"]["b"]["maxItems"]


@pytest.mark.parametrize("text", ["dict[str, str]", "json", "{a: json}"])
def test_open_schemas_have_no_strict_form(text):
    assert strict_schema(bound_schema(schema_of(f"q -> a: {text}"))) is None
