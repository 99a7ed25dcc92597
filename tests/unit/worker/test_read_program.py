"""A program file gives back the candidates it was made of, and is read as hostile."""

from __future__ import annotations

import json

import pytest

from cascade_operator.agents.candidate import MAX_DEMONSTRATIONS, Candidate, Demonstration
from cascade_operator.agents.cascade import Cascade
from cascade_operator.api.cascade import CascadeSpec, NodeSpec, TierSpec
from cascade_operator.api.errors import DataError
from cascade_operator.training.pool import CandidatePool
from cascade_operator.worker import evaluate
from cascade_operator.worker.archive import program_json
from cascade_operator.worker.evaluate import read_program
from fakes.scripted_engine import ScriptedEngine


def cascade_of(*nodes):
    lm = ScriptedEngine(lambda _: {}).lm()
    tier = TierSpec(name="only", code=0, nodes=list(nodes))
    return Cascade(CascadeSpec(tiers=[tier]), lambda _: lm)


def node(name="plan", signature="request -> brief", **more):
    return NodeSpec(name=name, signature=signature, instructions="Say what is wanted.", **more)


SHOWN = Demonstration(None, {"request": "ö"}, {"brief": "b"})
REASONED = Demonstration(None, {"request": "r"}, {"brief": "b", "reasoning": "because"})


@pytest.mark.parametrize(
    ("spec", "candidate"),
    [
        (node(), Candidate("Say it.")),
        (node(), Candidate("Zeile\n— ö", (SHOWN, SHOWN))),
        (node(module="ChainOfThought"), Candidate("Think.", (REASONED,))),
        (node("self", "class -> def: json"), Candidate("Odd names.")),
        (
            node(module="fakes.own_modules:TwoSteps"),
            Candidate("Only the step that writes the outputs.", (SHOWN,)),
        ),
    ],
    ids=["instructions", "demonstrations", "reasoning", "reserved-names", "own-module"],
)
def test_what_was_written_is_read(tmp_path, spec, candidate):
    cascade = cascade_of(spec)
    pool = CandidatePool({spec.name: (cascade.base_candidate(spec.name), candidate)})
    file = tmp_path / "program.json"
    file.write_bytes(program_json(cascade, pool, {spec.name: 1}))
    assert read_program(file, cascade)[spec.name].digest == candidate.digest


def test_a_node_of_plain_code_has_nothing_to_read(tmp_path):
    cascade = cascade_of(node(), node("code", module="fakes.own_modules:PlainCode"))
    file = tmp_path / "program.json"
    file.write_bytes(json.dumps(cascade.program({}).dump_state()).encode())
    for name, found in read_program(file, cascade).items():
        assert found.digest == cascade.base_candidate(name).digest


def _state(**changes):
    return json.dumps({"plan": {"signature": {"instructions": "x"}, "demos": []} | changes})


def _demos(*demos):
    return _state(demos=list(demos))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "is no program"),
        (b"\xff\xfe", "is no program"),
        (b"\x80\x04\x95pickle", "is no program"),
        (b"[" * 100_000, "is no program"),
        ("[]", "is no program"),
        ("null", "is no program"),
        ("{}", "has no program for the node plan"),
        ('{"act": {}}', "has no program for the node plan"),
        ('{"plan": null}', "of node plan is broken"),
        ('{"plan": []}', "of node plan is broken"),
        ('{"plan": "text"}', "of node plan is broken"),
        ('{"plan": {}}', "of node plan is broken"),
        (_state(signature={"instructions": 7}), "instructions are no text"),
        (_state(signature={"instructions": None}), "instructions are no text"),
        (_state(signature={"instructions": "x" * 20_000}), "instructions are no text of 16384"),
        (_state(demos=7), "of node plan is broken"),
        (_state(demos={"request": 1}), "of node plan is broken"),
        (_demos("request"), "of node plan is broken"),
        (_demos(None), "of node plan is broken"),
        (_demos(*[{"request": "r"}] * (MAX_DEMONSTRATIONS + 1)), "demonstrations are no list of"),
        (_demos({"request": "x" * 200_000}), "larger than"),
    ],
    ids=[
        *("empty", "bytes", "pickle", "deep", "list", "null", "no-node", "other-node"),
        *("node-null", "node-list", "node-text", "node-empty"),
        *("instructions-number", "instructions-null", "instructions-long"),
        *("demos-number", "demos-object", "demo-text", "demo-null", "many-demos", "large-demo"),
    ],
)
def test_no_program_is_told_with_its_file(tmp_path, text, words):
    file = tmp_path / "program.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=words) as caught:
        read_program(file, cascade_of(node()))
    assert str(file) in str(caught.value)
    assert "cascade archive program" in caught.value.mend


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        read_program(tmp_path / "none.json", cascade_of(node()))


def test_a_large_file_is_not_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "MAX_PROGRAM_BYTES", 10)
    file = tmp_path / "program.json"
    file.write_text(_state())
    with pytest.raises(DataError, match="is no program"):
        read_program(file, cascade_of(node()))


def test_only_texts_and_examples_are_taken(tmp_path):
    """Nothing of a file reaches the modules but what a candidate holds."""
    file = tmp_path / "program.json"
    state = {"signature": {"instructions": "x", "fields": [{"prefix": "evil"}]}}
    state |= {"lm": {"model": "http://evil"}, "demos": [{"request": "r", "other": "dropped"}]}
    file.write_text(json.dumps({"plan": state, "metadata": {"dependency_versions": {}}}))
    found = read_program(file, cascade_of(node()))
    expected = Candidate("x", (Demonstration(None, {"request": "r"}, {}),), "archived")
    assert found == {"plan": expected}
