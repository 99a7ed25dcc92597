import json

import pytest
from dspy.utils.exceptions import AdapterParseError

from cascade_operator.agents.adapters import MAX_ANSWER, make_adapter, response_format
from cascade_operator.agents.signatures import node_signature
from cascade_operator.api.cascade import NodeSpec
from cascade_operator.api.default_cascade import DEFAULT_CASCADE

_NODE = NodeSpec(
    name="n", signature='q -> name: str, count: int?, kind: Literal["a", "b"], any: json'
)
_SIGNATURE = node_signature(_NODE).signature
_GOOD = {"name": "x", "count": 2, "kind": "a", "any": {"k": [1, None]}}


@pytest.mark.parametrize("kind", ["JSON", "BAML"])
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(json.dumps(_GOOD), id="plain"),
        pytest.param("```json\n" + json.dumps(_GOOD) + "\n```", id="fenced"),
        pytest.param("Here it is: " + json.dumps(_GOOD) + " Enjoy!", id="talkative"),
        pytest.param(json.dumps(_GOOD | {"more": 1}), id="more than asked for"),
    ],
)
def test_json_answers_are_read(kind, text):
    assert make_adapter(kind, structured=True).parse(_SIGNATURE, text) == _GOOD


def test_an_absent_optional_field_is_none():
    found = make_adapter("JSON", structured=True).parse(
        _SIGNATURE, '{"name": "x", "kind": "a", "any": 1}'
    )
    assert found["count"] is None


def test_text_that_came_as_json_stays_json():
    found = make_adapter("JSON", structured=False).parse(
        _SIGNATURE, json.dumps(_GOOD | {"name": {"a": True}})
    )
    assert found["name"] == '{"a":true}'


@pytest.mark.parametrize("kind", ["Chat", "JSON", "BAML"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "no",
        "[]",
        "null",
        "{}",
        '{"name": "x"}',
        '{"name": "x", "kind": "c", "any": 1}',
        '{"name": "x", "kind": "a", "any": 1, "count": "many"}',
        "[" * 5_000,
        "{" * 5_000,
        '{"name":' * 3_000,
        '{"any": ' + "9" * 6_000 + "}",
        "[[ ## name ## ]]\nx\n[[ ## any ## ]]\n" + "(" * 5_000,
        "x" * (MAX_ANSWER + 1),
    ],
    ids=lambda text: text[:20] or "empty",
)
def test_unreadable_answers_are_parse_failures_and_nothing_else(kind, text):
    with pytest.raises(AdapterParseError):
        make_adapter(kind, structured=False).parse(_SIGNATURE, text)


def test_chat_markers_are_read_where_the_server_takes_no_schema():
    parts = {"name": "x", "count": "2", "kind": "a", "any": "5", "completed": ""}
    text = "\n".join(f"[[ ## {name} ## ]]\n{value}" for name, value in parts.items())
    assert make_adapter("Chat", structured=False).parse(_SIGNATURE, text)["count"] == 2


def test_a_chat_node_speaks_json_where_the_server_takes_a_schema():
    adapter = make_adapter("Chat", structured=True)
    assert adapter.parse(_SIGNATURE, json.dumps(_GOOD)) == _GOOD


@pytest.mark.parametrize("node", DEFAULT_CASCADE.nodes, ids=lambda node: node.name)
def test_prompts_of_the_default_agents_name_every_field(node):
    fields = node_signature(node)
    adapter = make_adapter(str(node.adapter), structured=True)
    inputs = dict.fromkeys(
        fields.inputs.values(), "<<CUSTOM-TYPE-START-IDENTIFIER>>x<<CUSTOM-TYPE-END-IDENTIFIER>>"
    )
    messages = adapter.format(fields.signature, [], inputs)
    assert [m["role"] for m in messages] == ["system", "user"]
    assert all(isinstance(m["content"], str) for m in messages)
    assert node.instructions.split(".")[0] in messages[0]["content"]
    for name in (*fields.inputs.values(), *fields.outputs.values()):
        assert name in messages[0]["content"]


def test_the_same_prompt_comes_from_the_same_fields():
    node = DEFAULT_CASCADE.nodes[1]
    first, second = (
        make_adapter("BAML", structured=True).format(
            node_signature(node).signature, [], {"request": "r"}
        )
        for _ in range(2)
    )
    assert first == second


def test_the_schema_lists_outputs_in_order():
    schema = response_format(_SIGNATURE)["json_schema"]["schema"]
    assert list(schema["properties"]) == ["name", "count", "kind", "any"]


@pytest.mark.parametrize("kind", ["Chat", "JSON", "BAML"])
def test_a_prompt_is_that_of_the_demonstrations_given_whatever_was_printed_before(kind):
    """What all records share is printed once; a demonstration changed in place is seen."""
    demo = {"q": "1", **_GOOD, "any": {"k": [1]}}
    adapter = make_adapter(kind, structured=False)

    def printed():
        made = adapter.format(_SIGNATURE, [demo], {"q": "2"})
        made[0]["content"] += "spoilt by its reader"
        return made

    first = printed()
    assert printed() == first
    demo["any"]["k"].append("quokka")
    changed = printed()
    assert changed != first
    assert "quokka" in json.dumps(changed)
    assert adapter.format(_SIGNATURE, [], {"q": "2"})[1]["role"] == "user"
    other = _SIGNATURE.with_instructions("Something else.")
    assert "Something else." in adapter.format(other, [demo], {"q": "2"})[0]["content"]
