"""The report's sections: what their words and tables say."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from cascade_operator.report.build import build_report
from cascade_operator.report.model import Interval
from cascade_operator.report.page import sections
from cascade_operator.report.records_sections import records_section, settings_section
from cascade_operator.report.results_sections import (
    attribution_section,
    curves_section,
    lattice_section,
    scores_section,
)
from cascade_operator.report.running_sections import (
    calls_section,
    estimate_section,
    memory_section,
    timeline_section,
)
from cascade_operator.report.summary import tiles
from fakes.report_runs import archive, records, sources, timeline


@pytest.fixture(scope="module")
def data():
    return build_report(sources(2))


@pytest.fixture(scope="module")
def empty():
    run = sources(2, groups={}, documents={}, progressive=True)
    return build_report(run)


def _column(table, name):
    at = table.head.index(name)
    return [row[at] for row in table.rows]


def test_scores_say_the_best_and_whether_held_out_agrees(data):
    section = scores_section(data)
    best, held_out = section.lead
    assert best.startswith("The best group is AB (read+plan): validation score ")
    assert best.endswith("over 12 records.")
    assert held_out.endswith("over 6 records.")
    assert "no evidence" not in held_out
    assert _column(section.tables[0], "group") == ["A", "B", "AB (best)"]
    assert _column(section.tables[0], "gain")[2] == "+0.2000"


def test_scores_say_where_there_is_no_evidence(data):
    best = replace(data.best, held_out_gain=Interval(0.02, -0.01, 0.05))
    section = scores_section(replace(data, best=best))
    assert "no evidence of a difference" in section.lead[1]


def test_the_lattice_has_every_group(data):
    section = lattice_section(data)
    assert section.lead == (
        "Gains over the declared program run from +0.1000 (A) to +0.2000 (AB).",
    )
    assert _column(section.tables[0], "nodes") == ["read", "plan", "read+plan"]


def test_curves_say_when_the_last_improvement_came(data):
    section = curves_section(data)
    assert section.lead[0].startswith(
        "30 trials in 3 groups; the latest improvement came in trial 9"
    )
    assert _column(section.tables[0], "last improvement") == ["9", "9", "9"]


def test_attribution_says_for_whom_there_is_evidence(data):
    section = attribution_section(data)
    assert section.lead[0].startswith("There is evidence of an effect for read +0.0")
    none = [replace(one, worth=Interval(0.1, -0.1, 0.3)) for one in data.attribution]
    section = attribution_section(replace(data, attribution=tuple(none)))
    assert section.lead[0].startswith("There is no evidence")
    assert _column(section.tables[0], "evidence") == ["no evidence"] * 2


def test_calls_say_what_the_cache_saved(data):
    section = calls_section(data)
    assert section.lead[0].startswith(
        "440 calls were asked for: 160 reached a server, the shared cache answered 280, and 0 were "
        "answers a Job still knew (64\xa0% saved)."
    )
    assert _column(section.tables[0], "Job") == ["prepare", "A·", "·B", "AB", "all"]
    assert _column(section.tables[0], "calls") == ["40", "30", "30", "60", "160"]


def test_the_estimate_says_how_far_it_was_off(data):
    section = estimate_section(data)
    assert "Model calls 160, estimated 100 (+60\xa0%)" in section.lead[0]
    off = _column(section.tables[0], "off by")
    assert off[0] == "+60\xa0%"
    assert _column(section.tables[1], "off by") == ["+50\xa0%", "+50\xa0%", "+200\xa0%"]


def test_memory_names_who_came_nearest_to_its_limit(data):
    section = memory_section(data)
    assert section.lead[0].startswith("Prepare came nearest to its limit: 105Mi of 1Gi (10\xa0%).")
    assert len(section.tables[0].rows) == 5


def test_the_timeline_says_who_was_not_done():
    document = timeline(2)
    document["jobs"][1] |= {"outcome": "MemoryGate"}
    document["jobs"][2] |= {"outcome": ""}
    run = archive(2)
    data = build_report(sources(2, documents=run.documents))
    assert timeline_section(data).lead[0] == "5 attempts of 5 Jobs, each of them done at its end."
    documents = run.documents | {"62_timeline.json": json.dumps(document).encode()}
    data = build_report(sources(2, documents=documents))
    section = timeline_section(data)
    assert section.lead[0].endswith("not done at their end: A (MemoryGate), B (left no word).")
    assert _column(section.tables[0], "ended")[-1] == "was running"
    assert _column(section.tables[0], "seconds by stage")[0] == (
        "84 load-traces 2.0, 12 embed 3.0, 44 candidates 4.0"
    )


def test_records_say_what_was_put_aside_imputed_and_why(data):
    section = records_section(data)
    assert section.lead[0] == (
        "30 records: 12 to propose from, 12 to select by, 6 held out. 1 row put aside, "
        "2 duplicates dropped. The run started warm from 20251231T000000Z."
    )
    rejected, notes, metrics = section.tables
    assert rejected.rows == (("7", "r7", "no output"),)
    assert notes.rows == (("posterior of 00_01 taken from 00",),)
    assert metrics.rows[0][:4] == ("agent-00-read", "confidence", "0.75", "30")
    assert metrics.rows[0][5] == "0.4373"


def test_long_lists_say_how_much_is_missing(data):
    view = data.records
    view = replace(view, rejected=5000, notes_total=700)
    section = records_section(replace(data, records=view))
    assert section.tables[0].caption.endswith("(the first; 4,999 more)")
    assert section.tables[1].caption.endswith("(the first; 699 more)")


def test_groups_without_result_are_quarantined_with_their_message(data):
    failed = replace(data.groups[0], failed=True, ended="OOMKilled", message="killed", attempts=4)
    section = records_section(replace(data, groups=(failed, *data.groups[1:])))
    table = next(t for t in section.tables if t.caption == "Groups without a result")
    assert table.rows == (("A", "OOMKilled", "4", "killed"),)


def test_settings_and_files(data):
    settings, files = settings_section(data).tables
    assert ("Objective", "Cosine, scope EndToEnd") in settings.rows
    assert files.rows[0][0].endswith("_size01.tar.zst")


def test_tiles_have_a_tone_only_where_there_is_evidence(data):
    found = {tile.name: tile for tile in tiles(data)}
    assert found["Validation gain"].tone == "good"
    assert found["Groups done"].value == "3 of 3"
    doubtful = replace(data.best, held_out_gain=Interval(-0.02, -0.1, 0.05))
    found = {tile.name: tile for tile in tiles(replace(data, best=doubtful))}
    assert (found["Held-out gain"].value, found["Held-out gain"].tone) == (
        "\N{MINUS SIGN}0.0200",
        "",
    )
    assert found["Held-out gain"].detail.endswith("no evidence")


def test_a_run_without_anything_yet_says_so_in_each_section(empty):
    found = sections(empty)
    assert all(section.picture is None for section in found)
    assert all(section.lead for section in found)
    assert records_section(empty).lead[0].endswith("prepare has left no word.")


def test_an_archive_without_notes_started_cold():
    documents = {"18_records.json": json.dumps(records(warmStartedFrom="")).encode()}
    section = records_section(build_report(sources(1, documents=documents)))
    assert "The run started cold" in section.lead[0]
