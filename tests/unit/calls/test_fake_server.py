"""The fake itself: other tests rest on what it promises."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from fakes.model_answers import AnswerKey, Skill, answer_chat, answers_of_trace, embed_text

_RECORDS = [{"q": f"question {i}", "a": f"answer {i}", "n": i} for i in range(200)]
_KEY = AnswerKey(_RECORDS)
_SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}, "n": {"type": "integer"}},
}


def ask(instructions, number=0, demonstrations=0, schema=_SCHEMA):
    messages = [("system", f"In adhering to this structure, your objective is: {instructions}")]
    messages += [("user", "shown"), ("assistant", "{}")] * demonstrations
    messages.append(("user", f"[[ ## q ## ]]\nquestion {number}\n\nRespond with a JSON object"))
    return json.loads(answer_chat(messages, schema, key=_KEY, skill=Skill()))


def share(instructions, **options):
    return sum(ask(instructions, i, **options)["a"] == f"answer {i}" for i in range(200)) / 200


def test_answers_are_a_function_of_the_request():
    assert [ask("x", i) for i in range(20)] == [ask("x", i) for i in range(20)]


def test_better_instructions_and_demonstrations_are_right_more_often():
    poor = share("Do it.")
    better = share("Do it exactly, verbatim and carefully, by the schema.")
    assert 0.2 < poor < 0.5
    assert better > poor + 0.25
    assert share("Do it.", demonstrations=3) > poor + 0.1


def test_a_wrong_answer_still_fits_the_schema_and_leads_back_to_its_record():
    wrong = next(ask("Do it.", i) for i in range(200) if ask("Do it.", i)["a"] != f"answer {i}")
    assert set(wrong) == {"a", "n"}
    assert isinstance(wrong["n"], int)
    assert _KEY.find({"other": wrong["a"]}) is not None


def test_similar_texts_have_similar_vectors():
    def near(a, b):
        return sum(x * y for x, y in zip(embed_text(a), embed_text(b), strict=True))

    assert near("add one and two", "add one and two") == pytest.approx(1.0)
    assert near("add one and two", "add one and three") > 0.6
    assert near("add one and two", "book a flight to Rome") < 0.3


def test_the_key_of_a_trace():
    row = {
        "agent_chain_inputs": {"a": '{"q": "x"}'},
        "agent_chain_outputs": {"a": '{"y": 1}', "b": '{"call": {"name": "old"}}'},
        "validated_json": '{"call": {"name": "f"}}',
    }
    assert answers_of_trace(row) == {"q": "x", "y": 1, "call": {"name": "f"}}


def test_as_a_process_of_its_own(tmp_path):
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps(_RECORDS))
    command = [sys.executable, "-m", "fakes.model_server", "--port", "0", "--answers", str(answers)]
    folder = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=folder, text=True) as process:
        try:
            url = process.stdout.readline().strip()
            body = {"model": "m", "input": ["a", "b"], "dimensions": 16}
            vectors = post(f"{url}/api/embed", body)["embeddings"]
            assert [len(v) for v in vectors] == [16, 16]
            with urllib.request.urlopen(f"{url}/_fake/stats", timeout=30) as answer:
                assert json.load(answer)["embeds"] == 1
        finally:
            process.terminate()
            process.wait(10)


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)
