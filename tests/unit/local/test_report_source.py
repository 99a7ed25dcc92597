"""What a state folder, or archive files alone, hold of a run for its report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from cascade_operator.api.errors import DataError
from cascade_operator.archive.writer import write_archives
from cascade_operator.cli.app import app
from cascade_operator.cli.report import report_at_end
from cascade_operator.local.report_source import sources_of_files, sources_of_run
from cascade_operator.report.build import build_report
from cascade_operator.report.write import ReportWriteError, write_report
from fakes.report_runs import NOW, SESSION_ID, archive, run_config, sources

FORMER = "20251231T000000Z"
STATUS = {
    "phase": "Complete",
    "run": {
        "number": 3,
        "sessionId": SESSION_ID,
        "specHash": "v1-0",
        "startTime": "2026-01-02T03:04:05Z",
        "completionTime": "2026-01-02T03:14:05Z",
    },
    "groups": [{"name": "00", "nodes": ["agent-00-read"], "phase": "Succeeded"}],
    "history": [
        {"number": 2, "sessionId": FORMER, "phase": "Failed", "reason": "GroupsFailed",
         "startTime": "2025-12-31T00:00:00Z", "completionTime": "2025-12-31T00:05:00Z"}
    ],
}  # fmt: skip


def _session(state: Path, name="support", status=STATUS, **claim):
    folder = state / "sessions" / name
    folder.mkdir(parents=True)
    spec = json.loads(run_config(2).spec.model_dump_json(by_alias=True, exclude_none=True))
    spec["archive"]["persistentVolumeClaim"] |= claim
    (folder / "session.yaml").write_text(
        yaml.safe_dump({"metadata": {"namespace": "team-a"}, "spec": spec})
    )
    if status is not None:
        (folder / "status.yaml").write_text(yaml.safe_dump(status))


def _write(run, root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    write_archives(run, root)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A state folder with a session, its archived run and one former run."""
    state = tmp_path_factory.mktemp("state")
    _session(state)
    _write(archive(2), state / "volumes" / "cascade-archives")
    _write(archive(2, session_id=FORMER), state / "volumes" / "cascade-archives")
    return state


def _files(state: Path, session_id=SESSION_ID):
    folder = state / "volumes" / "cascade-archives" / "team-a" / "support"
    return sorted(folder.glob(f"{session_id}_size*"))


@pytest.mark.parametrize("run", ["support", SESSION_ID], ids=["by-session", "by-run"])
def test_the_last_run(whole, run):
    found = sources_of_run(whole, run, now=NOW)
    assert (found.session_id, found.session, found.namespace) == (SESSION_ID, "support", "team-a")
    assert found.status is not None
    assert sorted(found.archive.groups) == ["00", "00_01", "01"]
    assert [(one.group_size, len(one.sha256)) for one in found.archives] == [(1, 64), (2, 64)]
    assert found.notes == ()
    assert build_report(found).seconds == 600


def test_a_former_run_is_known_by_its_archives_and_the_history(whole):
    found = sources_of_run(whole, FORMER, now=NOW)
    assert (found.status, found.history.reason) == (None, "GroupsFailed")
    data = build_report(found)
    assert (data.phase, data.message, data.seconds) == ("Failed", "GroupsFailed", 300)


def test_reading_makes_nothing(whole):
    before = sorted(whole.rglob("*"))
    sources_of_run(whole, "support", now=NOW)
    assert sorted(whole.rglob("*")) == before


def test_a_run_without_archives_is_shown_by_its_status(tmp_path):
    _session(tmp_path)
    found = sources_of_run(tmp_path, "support", now=NOW)
    assert found.archive is None
    assert found.notes == ("Nothing of this run is archived; this is what its status says.",)
    data = build_report(found)
    assert data.phase == "Complete"
    assert dict(data.settings)["Objective"].startswith("Cosine")


def test_archives_without_a_session_are_enough(tmp_path):
    _write(archive(1), tmp_path / "volumes" / "other")
    found = sources_of_run(tmp_path, SESSION_ID, now=NOW)
    assert (found.status, found.session) == (None, "support")


def test_archives_below_a_claims_folder_are_found(tmp_path):
    _session(tmp_path, subPath="deep/er")
    _write(archive(1), tmp_path / "volumes" / "cascade-archives" / "deep" / "er")
    assert sources_of_run(tmp_path, "support", now=NOW).archive is not None


@pytest.mark.parametrize(
    ("run", "said"),
    [("20200101T000000Z", f"support ({SESSION_ID}, {FORMER})"), ("nobody", "support (")],
)
def test_an_unknown_run_is_answered_with_what_is_there(whole, run, said):
    with pytest.raises(DataError, match="has no run") as caught:
        sources_of_run(whole, run, now=NOW)
    assert said in caught.value.mend


def test_a_session_that_never_ran_and_an_empty_folder(tmp_path):
    with pytest.raises(DataError) as caught:
        sources_of_run(tmp_path, "support", now=NOW)
    assert "`cascade run` makes one" in caught.value.mend
    _session(tmp_path, status=None)
    with pytest.raises(DataError) as caught:
        sources_of_run(tmp_path, "support", now=NOW)
    assert "support (no run yet)" in caught.value.mend


def test_one_id_of_two_sessions_is_ambiguous(tmp_path):
    _session(tmp_path)
    _session(tmp_path, "other")
    with pytest.raises(DataError, match=r"several sessions have a run .*: other, support"):
        sources_of_run(tmp_path, SESSION_ID, now=NOW)
    assert sources_of_run(tmp_path, "other", now=NOW).session == "other"


@pytest.mark.parametrize("damage", [b"", b"{", b"- 1", b"phase: 7"], ids=repr)
def test_a_damaged_status_is_as_none(tmp_path, damage):
    _session(tmp_path)
    (tmp_path / "sessions" / "support" / "status.yaml").write_bytes(damage)
    _write(archive(1), tmp_path / "volumes" / "cascade-archives")
    assert sources_of_run(tmp_path, SESSION_ID, now=NOW).status is None


def test_a_damaged_archive_is_left_out_and_named(tmp_path):
    _session(tmp_path)
    _write(archive(2), tmp_path / "volumes" / "cascade-archives")
    _files(tmp_path)[0].write_bytes(b"damaged")
    found = sources_of_run(tmp_path, SESSION_ID, now=NOW)
    assert sorted(found.archive.groups) == ["00_01"]
    assert any("_size01" in note for note in found.notes)


def test_files_alone(whole):
    found = sources_of_files(_files(whole))
    assert (found.session_id, found.notes) == (SESSION_ID, ())
    part = sources_of_files(_files(whole)[:1])
    assert part.notes == ("Archives of size 02 of this run were not given.",)
    assert [g.ended for g in build_report(part).groups][-1] == "Archive not given"


def test_files_of_two_runs_are_refused(whole):
    with pytest.raises(DataError, match="belongs to another run"):
        sources_of_files([_files(whole)[0], _files(whole, FORMER)[1]])


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    file = tmp_path / f"{SESSION_ID}_size01.tar.zst"
    file.write_bytes(b"no archive")
    with pytest.raises(DataError, match="no report: "):
        sources_of_files([file])


def _cascade(*arguments):
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def test_the_command_writes_beside_the_logs_or_where_it_is_told(whole, tmp_path):
    ended = _cascade("support", "--state", whole)
    file = whole / "runs" / SESSION_ID / "report.html"
    assert ended.stdout == f"report {file}\n"
    assert file.read_text().startswith("<!doctype html>")
    assert file.stat().st_mode & 0o777 == 0o644
    told = tmp_path / "new" / "page.html"
    assert _cascade(*_files(whole), "--output", told).exit_code == 0
    assert told.is_file()


def test_archives_go_to_the_working_folder_by_default(whole, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = _cascade(*_files(whole)[:1])
    assert ended.stdout == f"report {SESSION_ID}_report.html\n"
    assert [file.name for file in tmp_path.iterdir()] == [f"{SESSION_ID}_report.html"]


def test_a_run_and_files_at_once_are_a_wrong_command_line(whole):
    assert _cascade("support", "other", "--state", whole).exit_code == 2


def test_a_report_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ReportWriteError) as caught:
        write_report(sources(1), tmp_path / "file" / "report.html")
    assert "--output" in caught.value.mend
    (tmp_path / "report.html").mkdir()
    with pytest.raises(ReportWriteError):
        write_report(sources(1), tmp_path / "report.html")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "report.html"]


def test_a_runs_end_never_fails_for_its_report(tmp_path, capsys):
    assert report_at_end(tmp_path, "support", fresh=True) is None
    assert "no report: " in capsys.readouterr().err
    _session(tmp_path)
    (tmp_path / "runs").write_text("in the way")
    assert report_at_end(tmp_path, "support", fresh=True) is None
    assert "no report: " in capsys.readouterr().err


def test_a_run_that_did_not_go_on_keeps_its_report(tmp_path):
    _session(tmp_path)
    page = report_at_end(tmp_path, "support", fresh=False)
    page.write_text("kept")
    assert report_at_end(tmp_path, "support", fresh=False).read_text() == "kept"
    assert report_at_end(tmp_path, "support", fresh=True).read_text() != "kept"


def test_a_progressive_archive_says_that_the_run_goes_on(tmp_path):
    _session(tmp_path, status=None)
    _write(archive(1, progressive=True), tmp_path / "volumes" / "cascade-archives")
    data = build_report(replace(sources_of_run(tmp_path, SESSION_ID, now=NOW), status=None))
    assert "progressive archive" in data.message
