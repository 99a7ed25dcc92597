"""What a report shows of a run, from its archives and its status."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from cascade_operator.api.records import CallFigures
from cascade_operator.api.status import TrainingSessionStatus
from cascade_operator.report.build import RunSources, build_report
from cascade_operator.report.calls import added, total_calls
from cascade_operator.report.memory import memory_over_time
from cascade_operator.report.model import AttemptView
from cascade_operator.report.running_sections import calls_section, estimate_section
from fakes.report_runs import (
    NOW,
    SESSION_ID,
    archive,
    node_groups,
    node_names,
    outcome_of,
    run_config,
    sources,
)

STATUS = {
    "phase": "Training",
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Training",
            "message": "2 of 3 groups trained",
            "lastTransitionTime": "2026-01-02T03:05:00Z",
        }
    ],
    "run": {
        "number": 3,
        "sessionId": SESSION_ID,
        "specHash": "v1-0",
        "startTime": "2026-01-02T03:04:05Z",
        "warmStartedFrom": "20251231T000000Z",
    },
    "progress": {"modelCalls": 120, "tokens": 9000, "cacheHits": 40},
    "groups": [
        {"name": "00", "nodes": ["agent-00-read"], "phase": "Running", "trials": 4,
         "baseline": "0.4000", "score": "0.5500", "memoryLimit": "1Gi", "peakMemory": "200Mi"},
        {"name": "01", "nodes": ["agent-10-plan"], "phase": "Failed", "reason": "OOMKilled",
         "message": "killed", "attempt": 4},
    ],
}  # fmt: skip


def _status(**changes):
    return TrainingSessionStatus.model_validate_json(json.dumps(STATUS | changes))


def _without_archive(**changes):
    return RunSources("team-a", "support", SESSION_ID, status=_status(), now=NOW, **changes)


def test_a_whole_run():
    data = build_report(sources(2))
    assert (data.session, data.number, data.phase) == ("support", 3, "Complete")
    assert [(g.key, g.letters) for g in data.groups] == [("00", "A"), ("01", "B"), ("00_01", "AB")]
    assert [(n.letter, n.short) for n in data.nodes] == [("A", "read"), ("B", "plan")]
    assert data.best.key == "00_01"
    assert data.best.best.low < data.best.best.value < data.best.best.high
    assert data.best.gain.value == pytest.approx(0.2, abs=0.03)
    assert data.best.gain.evidence
    assert [a.node.letter for a in data.attribution] == ["A", "B"]
    assert (data.records.validation, data.records.rejected) == (12, 1)
    assert data.warm_started_from == "20251231T000000Z"
    assert [p.node.name for p in data.prompts] == list(node_names(2))
    assert dict(data.settings)["Task model"].startswith("llama3.2:3b")
    assert data.notes == ()


def test_curves_hold_the_best_so_far():
    group = build_report(sources(1)).groups[0]
    assert [point.trial for point in group.curve] == list(range(10))
    scores = [point.best for point in group.curve]
    assert scores == sorted(scores)
    assert (group.trials, group.whole) == (10, 10)


def test_actual_figures_stand_beside_the_estimate():
    data = build_report(sources(2))
    rows = {row.what: (row.estimated, row.actual) for row in data.estimate}
    # prepare's 40 calls, 30 of each single group, 60 of the pair
    assert rows["Model calls"] == (100, 160)
    assert rows["Duration"] == (60.0, data.seconds)
    assert data.estimated_calls == {"00": 20, "01": 20, "00_01": 20}


def test_a_run_that_goes_on_has_no_actual_figures_yet():
    data = build_report(sources(2, progressive=True))
    assert {row.actual for row in data.estimate} == {None}
    assert data.phase == "Training"


def test_calls_add_up_prepares_among_them():
    total = total_calls(build_report(sources(2)))
    assert (total.model_calls, total.cache_hits) == (40 + 30 + 30 + 60, 280)
    assert total.output_tokens == 500 + 3 * 700


def test_calls_from_elsewhere_add_up_to_what_a_record_may_hold():
    huge = CallFigures(model_calls=10**15)
    assert added([huge] * 64).model_calls == 10**15


def test_status_alone_makes_a_report():
    data = build_report(_without_archive())
    assert (data.phase, data.message) == ("Training", "2 of 3 groups trained")
    running, failed = data.groups
    assert (running.ended, running.best.value, running.best.low) == ("Running", 0.55, None)
    assert running.gain.value == pytest.approx(0.15)
    assert (running.memory_limit, running.peak_memory) == (1 << 30, 200 << 20)
    assert (failed.failed, failed.ended, failed.message) == (True, "OOMKilled", "killed")
    assert data.seconds == (NOW - data.started).total_seconds()
    assert data.attribution == ()
    assert calls_section(data).lead == (
        "No finished Job has reported its calls.",
        "So far the session's status counts 120 calls, 9,000 tokens and 40 calls that the cache "
        "saved.",
    )
    assert estimate_section(data).lead == ("No estimate is archived yet.",)


def test_archives_win_over_status_and_status_adds_what_is_not_archived():
    part = archive(2, progressive=True)
    part = replace(part, groups={"00": part.groups["00"]})
    data = build_report(replace(_without_archive(), archive=part))
    finished, failed, waiting = data.groups
    assert (finished.ended, finished.trials) == ("Converged", 10)
    assert finished.best.low is not None
    assert (failed.ended, waiting.ended) == ("OOMKilled", "")


def test_an_archive_alone_says_what_is_missing():
    whole = archive(2)
    part = replace(whole, groups={"00": whole.groups["00"]}, sizes=(1,))
    data = build_report(RunSources("team-a", "support", SESSION_ID, archive=part))
    assert [(g.ended, g.failed) for g in data.groups] == [
        ("Converged", False),
        ("No result", True),
        ("Archive not given", False),
    ]
    assert data.message == "1 of 3 groups have a result"


def test_a_search_under_way_is_shown_as_far_as_it_got():
    group = node_groups(1)[0]
    state = {
        "version": 1,
        "fingerprint": "f",
        "proposals": [],
        "archived": None,
        "trials": [trial.to_json() for trial in outcome_of(group, 0.1).trials[:4]],
        "finished": None,
    }
    run = archive(1, progressive=True)
    search = replace(run.groups["00"], result={}, checkpoint_json=json.dumps(state).encode())
    data = build_report(sources(1, progressive=True, groups={"00": search}))
    assert (data.groups[0].ended, data.groups[0].trials) == ("Running", 4)
    assert data.groups[0].gain is not None


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"config_json": b"{}"}, "The archived configuration cannot be read"),
        ({"candidates_json": b"{}"}, "The prompts cannot be shown"),
    ],
    ids=["configuration", "candidates"],
)
def test_what_is_damaged_is_named_and_the_rest_is_shown(change, note):
    data = build_report(sources(2, **change))
    assert len(data.groups) == 3
    assert any(one.startswith(note) for one in data.notes)


@pytest.mark.parametrize(
    "damage",
    [
        lambda r: r["outcome"].update(heldOutScores=[1e300]),
        lambda r: r["outcome"].update(nodes=["another"]),
        lambda r: r["outcome"]["trials"][0].update(score=7.0),
        lambda r: r["outcome"]["trials"][0].update(scores=[float("inf")]),
        lambda r: r["outcome"].pop("trials"),
        lambda r: r.update(figures=3),
        lambda r: r.clear(),
    ],
    ids=["huge", "other-nodes", "trial", "inf", "missing", "figures", "empty"],
)
def test_a_damaged_result_costs_its_group_alone(damage):
    run = archive(2)
    result = json.loads(json.dumps(run.groups["01"].result))
    damage(result)
    result = result or {"outcome": None}
    groups = {**run.groups, "01": replace(run.groups["01"], result=result)}
    data = build_report(sources(2, groups=groups))
    assert [group.best is not None for group in data.groups] == [True, False, True]
    assert any("group 01 cannot be read" in note for note in data.notes)
    assert data.attribution == ()


@pytest.mark.parametrize("name", ["18_records.json", "62_timeline.json", "65_estimate.json"])
def test_a_report_needs_no_document(name):
    documents = {k: v for k, v in archive(2).documents.items() if k != name}
    data = build_report(sources(2, documents=documents))
    assert data.best is not None
    assert data.records.validation == 12


def test_memory_of_all_jobs_is_that_of_those_that_ran_at_once():
    def attempt(start, peak):
        return AttemptView("00", "A", 1, start, 10.0, "Done", limit=100, step=5.0, memory=(1, peak))

    over_time = memory_over_time([attempt(0.0, 40), attempt(5.0, 50), attempt(50.0, 60)])
    assert over_time.peak == 60
    at = dict(
        zip(over_time.seconds, zip(over_time.used, over_time.limits, strict=True), strict=True)
    )
    assert at[5.0] == (41, 200)
    assert at[10.0] == (50, 100)
    assert at[15.0] == (0, 0)
    assert memory_over_time([]).peak == 0


def test_a_configuration_of_six_nodes_has_all_63_groups():
    assert len(run_config(6).groups) == 63
    assert len(build_report(sources(6)).groups) == 63
