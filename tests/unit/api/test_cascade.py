import pytest

from cascade_operator.api.cascade import Adapter, CascadeSpec
from cascade_operator.api.default_cascade import DEFAULT_CASCADE
from cascade_operator.api.groups import parse_key, select_groups
from cascade_operator.api.search_spec import GroupsSpec

NAMES = (
    "agent-00-autogen-bmad",
    "agent-10-baml-transform",
    "agent-20-speckit-dspy",
    "agent-30-dspy-execution",
)


def _cascade(*nodes):
    return CascadeSpec.model_validate(
        {"tiers": [{"name": f"t{i}", "code": i, "nodes": [node]} for i, node in enumerate(nodes)]}
    )


def test_no_tiers_mean_the_default_agents():
    cascade = CascadeSpec()
    assert tuple(node.name for node in cascade.nodes) == NAMES
    assert cascade.initial_fields() == ("request", "functions")
    assert cascade.completed() == DEFAULT_CASCADE
    assert cascade.tiers == []


def test_the_default_agents_hand_on_what_the_next_reads():
    written = set(DEFAULT_CASCADE.initial_fields())
    for node in DEFAULT_CASCADE.nodes:
        assert {field.name for field in node.parsed.inputs} <= written
        written |= {field.name for field in node.parsed.outputs}
    assert "call" in written


def test_a_default_agents_name_is_enough():
    (node,) = _cascade({"name": NAMES[1]}).nodes
    assert node == DEFAULT_CASCADE.node(NAMES[1])
    assert node.adapter is Adapter.BAML


def test_what_is_written_beside_the_name_wins():
    (node,) = _cascade({"name": NAMES[1], "adapter": "Chat", "instructions": "Mine."}).nodes
    assert (node.adapter, node.instructions) == (Adapter.CHAT, "Mine.")
    assert node.parsed == DEFAULT_CASCADE.node(NAMES[1]).parsed


def test_a_signature_of_its_own_makes_it_another_agent():
    (node,) = _cascade({"name": NAMES[1], "signature": "a -> b"}).nodes
    assert (node.instructions, node.adapter) == ("", Adapter.CHAT)


def test_completing_twice_changes_nothing():
    once = _cascade({"name": NAMES[1]}, {"name": "own", "signature": "a -> b"}).completed()
    assert once.completed() == once


def test_typed_fields_stand_for_a_signature():
    fields = {
        "inputs": [{"name": "a", "type": "int", "description": "How many."}],
        "outputs": [{"name": "b"}],
    }
    (node,) = _cascade({"name": "own", **fields}).nodes
    assert str(node.parsed) == "a: int -> b: str"
    assert node.parsed.inputs[0].description == "How many."


def test_an_unknown_node_is_a_key_error():
    with pytest.raises(KeyError):
        CascadeSpec().node("nobody")


def test_four_nodes_make_fifteen_groups_small_ones_first():
    groups = select_groups(CascadeSpec(), GroupsSpec())
    keys = [group.key for group in groups]
    assert len(keys) == 15
    assert keys[:5] == ["00", "01", "02", "03", "00_01"]
    assert keys[-1] == "00_01_02_03"
    assert groups[5].slug == "00-02"
    assert groups[5].nodes == (NAMES[0], NAMES[2])


def test_groups_are_chosen_by_size_and_name():
    cascade = CascadeSpec()
    pair = [NAMES[2], NAMES[0]]

    def keys(**fields):
        return [group.key for group in select_groups(cascade, GroupsSpec(**fields))]

    assert keys(sizes=[4, 1]) == ["00", "01", "02", "03", "00_01_02_03"]
    assert keys(include=[pair]) == ["00_02"]
    assert "00_02" not in keys(exclude=[pair])
    assert len(keys(exclude=[pair])) == 14


@pytest.mark.parametrize("key", ["", "0", "00-02", "02_00", "00_00", "00_", "\u0660\u0660"])
def test_what_is_no_key_is_refused(key):
    with pytest.raises(ValueError, match=r"node group"):
        parse_key(key)


def test_a_key_names_its_positions():
    assert parse_key("00_02") == (0, 2)
