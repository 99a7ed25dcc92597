import copy
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import dspy
import pytest
from dspy.utils.exceptions import AdapterParseError

from cascade_operator.agents.abort import CallAborted
from cascade_operator.agents.candidate import Candidate, Demonstration
from cascade_operator.agents.cascade import Cascade
from cascade_operator.agents.program import attribute_names
from cascade_operator.api.cascade import CascadeSpec, NodeSpec, TierSpec
from cascade_operator.api.default_cascade import DEFAULT_CASCADE
from cascade_operator.api.errors import DataError, ServiceUnavailable, SpecError
from fakes.scripted_engine import ScriptedEngine, last_of, schema_of

_REQUEST = {"request": "add 1 and 2", "functions": [{"name": "add"}]}
_CALL = {"name": "add", "arguments": {"a": 1, "b": [2, None]}}
_RIGHT = {
    "brief": "add: adds",
    "requirement": {
        "function": "add",
        "parameters": [{"name": "a", "type": "int", "required": True}],
    },
    "specification": {"function": "add", "arguments": [{"name": "a", "value": 1}]},
    "call": _CALL,
}


def by_schema(request):
    return {name: _RIGHT[name] for name in schema_of(request)["properties"]}


def cascade_of(*nodes, script=by_schema, structured=True, tiers=None):
    engine = ScriptedEngine(script, structured=structured)
    groups = tiers or [[node] for node in nodes]
    spec = CascadeSpec(
        tiers=[TierSpec(name=f"t{i}", code=i, nodes=group) for i, group in enumerate(groups)]
    )
    lm = engine.lm()
    return Cascade(spec, lambda _: lm), engine


def default_cascade(script=by_schema):
    engine = ScriptedEngine(script)
    lm = engine.lm()
    return Cascade(DEFAULT_CASCADE, lambda _: lm), engine


def test_the_default_cascade_runs_end_to_end_with_one_call_a_node():
    cascade, engine = default_cascade()
    outcome = cascade.run({}, _REQUEST)
    assert outcome.parsed
    assert outcome.outputs == _RIGHT
    assert len(engine.requests) == 4
    assert all(schema_of(request) for request in engine.requests)


def test_fields_flow_by_name_from_earlier_nodes():
    cascade, engine = default_cascade()
    cascade.run({}, _REQUEST)
    assert "add 1 and 2" not in last_of(engine.requests[3])
    assert json.dumps(_RIGHT["specification"]) in last_of(engine.requests[3])


def test_nodes_of_one_tier_do_not_read_each_other():
    seen = []

    def script(request):
        seen.append(last_of(request))
        return {name: f"new {name}" for name in schema_of(request)["properties"]}

    first = NodeSpec(name="a", signature="text -> note")
    second = NodeSpec(name="b", signature="note -> out")
    cascade, _ = cascade_of(tiers=[[first, second]], script=script)
    given = {"text": "t", "note": "old note"}
    assert cascade.run({}, given).outputs == {"note": "new note", "out": "new out"}
    assert "old note" in seen[1]
    cascade.program({})(**given)
    assert "old note" in seen[3]
    assert cascade.tiers == (("a", "b"),)


def test_after_an_unreadable_answer_later_nodes_are_not_called():
    def script(request):
        return by_schema(request) if "brief" in schema_of(request)["properties"] else "no JSON"

    cascade, engine = default_cascade(script)
    outcome = cascade.run({}, _REQUEST)
    assert not outcome.parsed
    assert outcome.outputs == {}
    assert outcome.failure
    assert len(engine.requests) == 2


def test_a_candidate_brings_instructions_and_demonstrations():
    cascade, engine = default_cascade()
    name = cascade.node_names[0]
    shown = Demonstration(
        "r9", {"request": "shown request", "functions": []}, {"brief": "shown brief"}
    )
    cascade.run_node(name, Candidate("Say it verbatim.", (shown,), "proposed"), _REQUEST)
    request = engine.requests[0]
    assert "Say it verbatim." in request.system
    texts = [m.parts[0].text for m in request.messages]
    assert "shown request" in texts[0]
    assert "shown brief" in texts[1]
    assert "add 1 and 2" in texts[2]


def test_the_base_candidate_is_what_the_session_declares():
    cascade, _ = default_cascade()
    assert [cascade.base_candidate(n).instructions for n in cascade.node_names] == [
        node.instructions for node in DEFAULT_CASCADE.nodes
    ]


def test_a_node_without_instructions_has_dspys_sentence():
    cascade, _ = cascade_of(NodeSpec(name="a", signature="x -> y"))
    assert "`x`" in cascade.base_candidate("a").instructions


def test_a_chain_of_thought_reasons_first():
    node = NodeSpec(name="a", signature="x -> y", module="ChainOfThought")
    cascade, engine = cascade_of(node, script=lambda _: {"reasoning": "because", "y": "so"})
    outcome = cascade.run_node("a", cascade.base_candidate("a"), {"x": "1"})
    assert (outcome.reasoning, outcome.outputs) == ("because", {"y": "so"})
    assert list(schema_of(engine.requests[0])["properties"]) == ["reasoning", "y"]


def test_a_missing_field_is_the_datas_fault():
    cascade, _ = default_cascade()
    with pytest.raises(DataError, match="functions"):
        cascade.run_node(cascade.node_names[0], Candidate("x"), {"request": "r"})


def test_an_optional_field_may_be_missing():
    cascade, _ = cascade_of(
        NodeSpec(name="a", signature="x: str?, y -> z"), script=lambda _: {"z": "1"}
    )
    assert cascade.run_node("a", Candidate("go"), {"y": "1"}).parsed


def test_without_a_schema_the_prompt_asks_for_chat_markers():
    cascade, engine = cascade_of(
        NodeSpec(name="a", signature="x -> y"),
        script=lambda _: "[[ ## y ## ]]\nfine\n[[ ## completed ## ]]",
        structured=False,
    )
    assert cascade.run({}, {"x": "1"}).outputs == {"y": "fine"}
    assert schema_of(engine.requests[0]) is None


def test_a_parse_failure_is_one_call_and_no_second_attempt():
    cascade, engine = cascade_of(
        NodeSpec(name="a", signature="x -> y"), script=lambda _: "nonsense", structured=False
    )
    assert not cascade.run({}, {"x": "1"}).parsed
    assert len(engine.requests) == 1


@pytest.mark.parametrize("how", ["run_node", "run"])
def test_a_server_that_is_away_is_no_outcome(how):
    away = ServiceUnavailable("away", mend="start it")
    cascade, _ = default_cascade(lambda _: CallAborted(away))
    name = cascade.node_names[0]
    ways = {
        "run": lambda: cascade.run({}, _REQUEST),
        "run_node": lambda: cascade.run_node(name, cascade.base_candidate(name), _REQUEST),
    }
    with pytest.raises(ServiceUnavailable) as caught:
        ways[how]()
    assert caught.value is away


def test_a_server_that_is_away_ends_dspys_own_evaluation():
    cascade, _ = default_cascade(lambda _: CallAborted(ServiceUnavailable("away")))
    example = dspy.Example(**_REQUEST).with_inputs(*_REQUEST)
    evaluate = dspy.Evaluate(devset=[example] * 3, metric=lambda *_: 1.0, num_threads=2)
    with pytest.raises(CallAborted):
        evaluate(cascade.program({}))


def test_a_program_goes_through_a_file_and_runs_the_same(tmp_path):
    cascade, engine = default_cascade()
    shown = Demonstration("r", {"request": "q", "functions": [{"n": 1}]}, {"brief": "b"})
    program = cascade.program({cascade.node_names[0]: Candidate("Be brief.", (shown,))})
    state = json.loads(json.dumps(program.dump_state()))
    path = tmp_path / "58_program.json"
    path.write_text(json.dumps(state))

    loaded = cascade.program({})
    loaded.load(path)
    before = program(**_REQUEST)
    after = loaded(**_REQUEST)
    assert before.toDict() == after.toDict() == _RIGHT
    assert engine.requests[0].system == engine.requests[4].system
    assert engine.requests[0].messages == engine.requests[4].messages
    assert "lm" not in state or state["lm"] is None
    assert "Be brief." in json.dumps(state)


def test_a_program_raises_what_dspy_expects_of_an_unreadable_answer():
    cascade, _ = default_cascade(lambda _: "nonsense")
    with pytest.raises(AdapterParseError):
        cascade.program({})(**_REQUEST)


def test_a_program_can_be_copied():
    cascade, _ = default_cascade()
    copied = copy.deepcopy(cascade.program({}))
    assert copied.reset_copy()(**_REQUEST).call == _CALL


def test_bootstrappings_rollouts_reach_the_nodes_models():
    temperatures = []
    cascade, engine = default_cascade()
    engine._script = lambda r: temperatures.append(r.config.temperature) or by_schema(r)
    ambient = engine.lm().copy(rollout_id=3, temperature=1.0)
    with dspy.context(lm=ambient):
        cascade.program({})(**_REQUEST)
    cascade.program({})(**_REQUEST)
    assert temperatures == [1.0] * 4 + [0.0] * 4


def test_threads_share_modules_and_not_each_others_answers():
    def script(request):
        number = last_of(request).split("number ")[1].split(".")[0]
        return {"y": number}

    cascade, _ = cascade_of(NodeSpec(name="a", signature="x -> y"), script=script)
    base = cascade.base_candidate("a")
    barrier = threading.Barrier(8)

    def run(number):
        if number < 8:
            barrier.wait(10)
        return cascade.run_node("a", base, {"x": f"number {number}."}).outputs["y"]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(run, range(64))) == [str(n) for n in range(64)]
    assert len(cascade._built) == 1


_HERE = "fakes.own_modules"


def test_an_own_module_is_imported_and_takes_candidates():
    node = NodeSpec(name="a", signature="x -> y", module=f"{_HERE}:OwnModule")
    cascade, engine = cascade_of(node, script=lambda _: {"y": "1"})
    assert cascade.run_node("a", Candidate("Mine."), {"x": "1"}).outputs == {"y": "1"}
    assert "Mine." in engine.requests[0].system


def test_an_own_module_that_stumbles_over_a_record_has_no_answer_for_it():
    node = NodeSpec(name="a", signature="x -> y", module=f"{_HERE}:OwnModule")
    cascade, _ = cascade_of(node, script=lambda _: {"y": "1"})
    outcome = cascade.run_node("a", Candidate("Mine."), {"x": "stumble"})
    assert (outcome.parsed, "stumbled" in outcome.failure) == (False, True)


def test_an_own_module_does_not_hide_a_server_that_is_away():
    node = NodeSpec(name="a", signature="x -> y", module=f"{_HERE}:OwnModule")
    cascade, _ = cascade_of(node, script=lambda _: CallAborted(ServiceUnavailable("away")))
    with pytest.raises(ServiceUnavailable):
        cascade.run_node("a", Candidate("Mine."), {"x": "1"})


@pytest.mark.parametrize(
    "module",
    [
        "no.such.package:X",
        f"{_HERE}:Missing",
        f"{_HERE}:no_module",
        f"{_HERE}:broken_factory",
        f"{_HERE}:NUMBER",
    ],
)
def test_an_own_module_that_is_none_is_a_spec_error(module):
    with pytest.raises(SpecError) as caught:
        cascade_of(NodeSpec(name="a", signature="x -> y", module=module))
    assert caught.value.mend


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        (["agent-00-x"], ["agent_00_x"]),
        (["a-b", "a_b"], ["a_b", "a_b_2"]),
        (["00-x"], ["node_00_x"]),
        (["forward", "load", "class"], ["node_forward", "node_load", "node_class"]),
    ],
)
def test_attribute_names(nodes, expected):
    assert list(attribute_names(nodes).values()) == expected
