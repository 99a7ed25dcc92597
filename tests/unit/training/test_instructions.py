from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.agents.candidate import Demonstration
from cascade_operator.training.instructions import (
    MAX_INSTRUCTION,
    MIN_INSTRUCTION,
    describe,
    examples,
    usable_instruction,
)
from fakes.records import SPEC


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("  Name the function to call.  ", "Name the function to call.", id="stripped"),
        pytest.param('"Name the function."', "Name the function.", id="quotes"),
        pytest.param("**Instruction:** Name the function.", "Name the function.", id="label"),
        pytest.param("Proposed Instruction: Name it now.", "Name it now.", id="longer label"),
        pytest.param(
            "[[ ## answer ## ]] Name it now. [[ ## completed ## ]]",
            "Name it now.",
            id="adapter marker",
        ),
        pytest.param(
            "[[ [[ ## x ## ]] ## y ## ]]Name it all.", "y Name it all.", id="joined marker"
        ),
        pytest.param(
            "<|im_start|>Name the function.<|im_end|>", "Name the function.", id="template"
        ),
        pytest.param("Name\x00 the\u202e function\x1b[2J.", "Name the function[2J.", id="controls"),
        pytest.param("Name the\n\n\n\n\nfunction.", "Name the\n\nfunction.", id="blank lines"),
        pytest.param(None, None, id="unreadable"),
        pytest.param("", None, id="empty"),
        pytest.param("ok", None, id="too short"),
        pytest.param("1234567890 ... 99 !!", None, id="no word"),
        pytest.param("[[ ## completed ## ]]", None, id="a marker only"),
        pytest.param("say  WHAT is wanted.", None, id="known, in other case and blanks"),
    ],
)
def test_cleaning(text: str | None, expected: str | None) -> None:
    assert usable_instruction(text, ["Say what is wanted."]) == expected


@given(st.lists(st.text(max_size=9) | st.sampled_from(["[[ ## ", " ## ]]", "<|", "|>", "```"])))
def test_whatever_a_model_writes_is_bounded_plain_text(parts: list[str]) -> None:
    text = "".join(parts) * 20
    found = usable_instruction(text, [])
    if found is not None:
        assert MIN_INSTRUCTION <= len(found) <= MAX_INSTRUCTION
        assert found == found.strip()
        assert not any(mark in found for mark in ("[[ ##", "## ]]", "[[##", "##]]", "```"))
        found.encode("utf-8")


def test_a_long_answer_is_cut_at_a_sentence() -> None:
    found = usable_instruction("Name the function to call. " * 200, [])
    assert found is not None
    assert 0.9 * MAX_INSTRUCTION < len(found) <= MAX_INSTRUCTION
    assert found.endswith("call.")


def test_a_long_answer_without_a_sentence_is_cut_at_a_word() -> None:
    found = usable_instruction("word " * 1000, [])
    assert found is not None
    assert set(found.split()) == {"word"}


def test_the_description_says_where_a_node_stands() -> None:
    text = describe(SPEC, SPEC.node("plan"))
    assert "Step 1 of 2" in text
    assert "plan -> act" in text
    assert "reads request and writes brief" in text
    assert "read by act" in text
    assert "read by" not in describe(SPEC, SPEC.node("act"))


def test_examples_show_every_field_however_long_one_is() -> None:
    demo = Demonstration("r", {"functions": ["f"] * 5000, "request": "short"}, {"brief": "b"})
    text = examples([demo] * 9)
    assert text.count("brief: b") == 3
    assert text.count("request: short") == 3
    assert len(text) < 5000
