"""Texts of any origin: made visible, cut, and compared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.report.diff import diff_lines
from cascade_operator.report.visible import MOST, shortened, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("a\x00b", "a⟨U+0000⟩b"),
        ("\ud800", "⟨U+D800⟩"),
        ("\u2066\ufeff\u200b", "⟨U+2066⟩⟨U+FEFF⟩⟨U+200B⟩"),
        ("\x1b[31m", "⟨U+001B⟩[31m"),
        ("a\u2028b", "a⟨U+2028⟩b"),
        ("line\n\ttab", "line\n\ttab"),
        ("שלום עולם", "שלום עולם"),
        ("👩\u200d🚀 \u0645\u06cc\u200c\u062e", "👩\u200d🚀 \u0645\u06cc\u200c\u062e"),
    ],
    ids=["bidi", "nul", "half", "marks", "escape", "separator", "lines", "hebrew", "joined"],
)
def test_what_cannot_be_seen_is_named(text, shown):
    assert visible(text) == shown


@given(st.text(alphabet=st.characters()))
def test_visible_text_is_utf_8_and_stays_as_it_is(text):
    shown = visible(text)
    shown.encode()
    assert visible(shown) == shown


def test_a_long_text_is_cut_and_says_so():
    cut = shortened("x" * 1_000_000)
    assert len(cut) < MOST + 100
    assert cut.endswith("[cut here: 994,000 more characters]")
    assert shortened("x" * MOST) == "x" * MOST


def _shown(before, after):
    return [
        (line.kind, [(p.kind, p.text) for p in line.pieces]) for line in diff_lines(before, after)
    ]


def test_words_of_alike_lines_are_compared():
    assert _shown("Write the answer.\nBe brief.", "Write the best answer.\nBe brief.") == [
        ("both", [("same", "Write the "), ("in", "best "), ("same", "answer.")]),
        ("same", [("same", "Be brief.")]),
    ]


def test_unlike_lines_are_shown_one_after_the_other():
    assert _shown("Say it.", "Copy each field verbatim from the request.") == [
        ("out", [("out", "Say it.")]),
        ("in", [("in", "Copy each field verbatim from the request.")]),
    ]


@pytest.mark.parametrize(
    ("before", "after", "kinds"),
    [("", "new", ["in"]), ("old", "", ["out"]), ("", "", []), ("a\nb", "a\nb", ["same", "same"])],
    ids=["put-in", "taken-out", "nothing", "equal"],
)
def test_a_diff_of_whole_texts(before, after, kinds):
    assert [line.kind for line in diff_lines(before, after)] == kinds


@given(st.text(max_size=300), st.text(max_size=300))
def test_a_diff_loses_nothing(before, after):
    lines = diff_lines(before, after)

    def text(kept, kinds):
        parts = [line for line in lines if line.kind in kinds]
        return "\n".join("".join(p.text for p in line.pieces if p.kind in kept) for line in parts)

    assert text({"same", "out"}, {"same", "out", "both"}) == visible(before)
    assert text({"same", "in"}, {"same", "in", "both"}) == visible(after)


def test_a_diff_of_huge_texts_is_bounded():
    found = diff_lines("word " * 200_000, "other " * 200_000)
    assert sum(len(piece.text) for line in found for piece in line.pieces) < 3 * MOST
