"""The live table and the summary, exported as text."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from cascade_operator.cli.live import render_view, rows_that_fit
from cascade_operator.cli.summary import EMBEDDED_NOTE, render_summary
from cascade_operator.cli.view import GroupRow
from fakes.run_views import BEFORE, COMPLETE, DONE, FAILED, RUNNING, TRAINING, WAITING


def text_of(renderable, width=110):
    console = Console(file=io.StringIO(), width=width, record=True, color_system=None)
    console.print(renderable)
    return console.export_text()


def row_of(text, name):
    return next(" ".join(line.split()) for line in text.splitlines() if line.startswith(name))


def test_the_live_table_shows_each_group():
    text = text_of(render_view(TRAINING))
    assert "tool-calls  run 2  20261123T203100Z" in text
    assert row_of(text, "autogen") == "autogen Running 3 0.5000 0.6000 +0.1000 - 200Mi/512Mi"
    assert row_of(text, "baml") == "baml Pending - - - - - -/512Mi"
    assert "preparing > training > archiving  17 %" in text
    assert "250 model calls" in text
    assert "750 saved (75 %)" in text
    assert "1m05s elapsed  about 2m10s left" in text
    assert "the same command resumes" in text


def test_a_finished_group_shows_why_it_ended():
    text = text_of(render_view(COMPLETE))
    assert row_of(text, "autogen").startswith("autogen Converged 14 0.6123 0.6631 +0.0508 0.6500")
    assert row_of(text, "baml").startswith("baml MemoryGate (attempt 3)")
    assert "[complete]" in text
    assert "warm from 20261122T080000Z" in text


def test_before_the_first_group_there_is_no_table():
    text = text_of(render_view(replace(BEFORE, phase="Preparing", step="12 embed 40/60")))
    assert "12 embed 40/60" in text
    assert "baseline" not in text


def test_a_stop_is_said():
    text = text_of(render_view(TRAINING, stopping=True))
    assert "checkpoints are being saved" in text
    assert "the same command resumes" not in text


def test_notes_show_and_control_characters_do_not_pass():
    text = text_of(render_view(replace(TRAINING, notes=("limit \x1b[2J not enforced",))))
    assert "limit \\x1b[2J not enforced" in text
    assert "\x1b" not in text


def test_markup_in_names_is_not_read():
    text = text_of(render_view(replace(TRAINING, groups=(replace(RUNNING, name="[red]x[/red]"),))))
    assert "[red]x[/red]" in text


@pytest.mark.parametrize("height", [12, 24, 40])
def test_the_view_fits_the_terminal(height):
    groups = tuple(GroupRow(f"{i:02d}", f"node{i}") for i in range(63))
    text = text_of(render_view(replace(TRAINING, groups=groups), height=height))
    assert len(text.rstrip("\n").splitlines()) <= height
    assert "more groups: 0 finished" in text


def test_a_narrow_terminal_gets_fewer_columns_and_no_wrapped_line():
    name = "autogen+baml+speckit+dspy"
    groups = (replace(DONE, name=name, reason="DeadlineExceeded"), replace(RUNNING, attempt=3))
    view = replace(TRAINING, groups=groups, notes=("a long note " * 20,))
    text = text_of(render_view(view, width=80), width=80)
    assert row_of(text, name) == f"{name} DeadlineExceeded 14 0.6631 +0.0508 0.6500"
    assert "baseline" not in text
    assert len(text.splitlines()) == 11


def test_running_groups_come_first_when_not_all_fit():
    groups = (DONE, *(replace(WAITING, key=str(i)) for i in range(10)), RUNNING, FAILED)
    assert rows_that_fit(groups, 4) == (DONE, RUNNING, FAILED)
    assert rows_that_fit(groups, len(groups)) == groups


def test_the_summary_names_best_attribution_and_archives():
    text = text_of(render_summary(COMPLETE))
    assert "tool-calls: run 2 complete after 10m05s (1 of 2 groups failed: 01)" in text
    assert "warm-started from 20261122T080000Z" in text
    assert row_of(text, "autogen") == "autogen Converged 14 0.6123 0.6631 +0.0508 0.6500"
    assert row_of(text, "baml").startswith("baml MemoryGate: needs more than maxPerJob 0 -")
    assert "best group autogen  validation 0.6631" in text
    assert "held-out 0.6500, the declared program has 0.6200 (+0.0300)" in text
    assert row_of(text, "agent-00") == "agent-00-autogen-bmad +0.0300 [+0.0100, +0.0500]"
    assert row_of(text, "agent-10").endswith("[-0.0100, +0.0200] no evidence")
    assert "default/tool-calls/20261123T203100Z_size01.tar.zst  12Ki" in text
    assert EMBEDDED_NOTE[:40] not in text


def test_the_summary_shows_calls_and_what_was_spared_by_group_and_in_all():
    text = text_of(render_summary(COMPLETE))
    table = text[text.index("model calls") :]
    assert row_of(table, "prepare") == "prepare 40 0 0 0 0 0"
    assert row_of(table, "autogen") == "autogen 200 9000 90 5 600 400"
    assert row_of(table, "in all") == "in all 300 20.0k 99 6 900 700"
    narrow = text_of(render_summary(COMPLETE, width=80), width=80)
    assert row_of(narrow[narrow.index("model calls") :], "in all") == "in all 300 20.0k 900"


def test_the_summary_of_the_embedded_model_says_what_it_shows():
    text = text_of(render_summary(COMPLETE, embedded=True), width=300)
    assert EMBEDDED_NOTE in text


def test_the_summary_says_why_there_is_no_attribution():
    text = text_of(render_summary(replace(COMPLETE, attribution=())), width=200)
    assert "that needs every subset of the nodes" in text
    assert "needs every subset" not in text_of(render_summary(COMPLETE), width=200)


def test_the_summary_of_a_run_that_never_trained_is_short():
    text = text_of(render_summary(replace(BEFORE, phase="Failed", message="PrepareFailed")))
    assert text.strip() == "tool-calls: run 0 failed after - (PrepareFailed)"


def test_a_very_narrow_terminal_keeps_figures_whole():
    groups = (replace(DONE, name="autogen+baml+speckit+dspy"), RUNNING)
    text = text_of(render_view(replace(TRAINING, groups=groups), width=60), width=60)
    assert max(map(len, text.splitlines())) <= 60
    assert "0.6631" in text
    assert "0.6500" in text
    summary = text_of(render_summary(replace(COMPLETE, groups=groups), width=60), width=60)
    assert "0.6631" in summary
    assert "baseline" not in summary


def test_the_summary_explains_why_searches_ended():
    groups = (replace(DONE, reason="Converged"), replace(DONE, reason="CallBudget"))
    text = text_of(render_summary(replace(COMPLETE, groups=groups)), width=300)
    assert "Converged: no better combination" in text
    assert "CallBudget: spec.budget.maxModelCalls was used up" in text
    assert "MaxTrials" not in text
