"""``cascade evaluate``: the archived program gives the archived score again."""

from __future__ import annotations

import json

import pytest

from fakes.cascade_cli import cascade

pytestmark = [pytest.mark.process]


@pytest.fixture(scope="module")
def best(undisturbed, tmp_path_factory):
    """The best group's archived figures, and its program as the command prints it."""
    status, archive = undisturbed.run.status, undisturbed.run.archive()
    key = status["best"]["group"]
    size = len(key.split("_"))
    file = next(f for f in undisturbed.run.archive_files() if f"_size0{size}." in f.name)
    printed = cascade("archive", "program", file, "--group", key)
    assert printed.code == 0, printed.text
    program = tmp_path_factory.mktemp("evaluate") / "program.json"
    program.write_text(printed.text)
    return program, archive.groups[key].result["outcome"]


def test_the_best_program_scores_on_held_out_records_as_archived(undisturbed, best):
    program, outcome = best
    ended = _evaluate(undisturbed, program, "heldOut")
    report = json.loads(ended.text)
    assert report["split"] == "heldOut"
    assert list(report["scores"]) == outcome["heldOutIds"]
    assert list(report["scores"].values()) == outcome["heldOutScores"]
    assert report["score"] == pytest.approx(outcome["heldOut"])
    assert f"{report['score']:.4f}" == undisturbed.run.status["best"]["heldOut"]


def test_the_same_holds_for_validation_records(undisturbed, best):
    program, outcome = best
    report = json.loads(_evaluate(undisturbed, program, "validation").text)
    assert list(report["scores"]) == outcome["recordIds"]
    assert report["score"] == pytest.approx(outcome["score"])
    assert report["score"] != pytest.approx(outcome["baseline"])


def _evaluate(undisturbed, program, split):
    traces = undisturbed.session.parent / "tickets.jsonl"
    ended = cascade(
        *("evaluate", program, traces, "--session", undisturbed.session, "--split", split),
        *("--state", program.parent / "state", "--output", "json"),
    )
    assert ended.code == 0, ended.text
    return ended
