"""``cascade traces`` on small files."""

import json

import pytest
from typer.testing import CliRunner

from cascade_operator.cli.app import app
from fakes.traces import row, write_jsonl

SESSION = """
apiVersion: cascade-operator.dev/v1alpha1
kind: TrainingSession
metadata: {name: two-nodes}
spec:
  traces: {file: traces.jsonl, maxInvalidPercent: 20}
  cascade:
    tiers:
      - {name: first, code: 0, nodes: [{name: plan, signature: "request -> brief"}]}
      - {name: second, code: 10, nodes: [{name: act, signature: "brief -> call: json"}]}
"""


@pytest.fixture
def session(tmp_path):
    file = tmp_path / "session.yaml"
    file.write_text(SESSION)
    return file


def traces(*arguments):
    return CliRunner().invoke(app, ["traces", *map(str, arguments)])


def rows(count):
    return [row(i) for i in range(count)]


def test_validate_counts_records_duplicates_and_splits(tmp_path, session):
    file = write_jsonl(tmp_path / "t.jsonl", [*rows(20), row(3, record_id="again")])
    result = traces("validate", file, "--session", session)
    assert result.exit_code == 0, result.stderr
    assert f"{file}: 20 records, 0 rejected, 1 duplicates" in result.stdout
    split = result.stdout.splitlines()[1].removeprefix("  split: ")
    counts = {part.split()[0]: int(part.split()[1]) for part in split.split(", ")}
    assert sorted(counts) == ["heldOut", "training", "validation"]
    assert sum(counts.values()) == 20


def test_validate_names_rejected_rows_and_stays_well_below_the_limit(tmp_path, session):
    file = write_jsonl(tmp_path / "t.jsonl", [*rows(10), row(99, validated_json="nonsense")])
    result = traces("validate", file, "--session", session)
    assert result.exit_code == 0
    assert "row 11 r99:" in result.stdout


def test_validate_ends_with_65_when_too_many_rows_are_bad(tmp_path, session):
    bad = [row(90 + i, validated_json="nonsense") for i in range(14)]
    file = write_jsonl(tmp_path / "t.jsonl", [*rows(10), *bad])
    result = traces("validate", file, "--session", session)
    assert result.exit_code == 65
    assert "and 4 more rejected" in result.stdout
    assert "14 of 24 rows are bad, more than 20 %" in result.stderr
    assert "maxInvalidPercent" in result.stderr


def test_validate_as_json_lists_each_rejected_row(tmp_path, session):
    file = write_jsonl(tmp_path / "t.jsonl", [*rows(10), row(99, validated_json="nonsense")])
    shown = json.loads(traces("validate", file, "--session", session, "-o", "json").stdout)
    assert (shown["records"], [r["recordId"] for r in shown["rejected"]]) == (10, ["r99"])


def test_without_a_session_the_default_agents_are_expected(tmp_path):
    result = traces("validate", write_jsonl(tmp_path / "t.jsonl", rows(5)))
    assert result.exit_code == 65
    assert "5 of 5 rows are bad" in result.stderr
    assert "agent-00-autogen-bmad" in result.stderr


def test_too_few_records_say_the_minimum(tmp_path, session):
    result = traces("validate", write_jsonl(tmp_path / "t.jsonl", rows(2)), "--session", session)
    assert result.exit_code == 65
    assert "at least 3 records" in result.stderr


def test_a_missing_file_ends_with_65(tmp_path, session):
    result = traces("validate", tmp_path / "absent.jsonl", "--session", session)
    assert (result.exit_code, "does not exist" in result.stderr) == (65, True)


def test_show_prints_a_record_node_by_node(tmp_path):
    file = write_jsonl(tmp_path / "t.jsonl", rows(3))
    result = traces("show", file, "r1")
    assert result.exit_code == 0
    assert result.stdout.startswith("record r1  sha256 ")
    assert (
        "\nplan\n  reads\n    request: request 1\n  writes\n    brief: brief 1\n" in result.stdout
    )
    assert '\nvalidated\n    call: {\n        "name": "f",' in result.stdout


def test_show_as_json(tmp_path):
    file = write_jsonl(tmp_path / "t.jsonl", rows(3))
    shown = json.loads(traces("show", file, "r2", "-o", "json").stdout)
    assert shown["inputs"]["plan"] == {"request": "request 2"}


def test_show_of_an_unknown_record_ends_with_65(tmp_path):
    result = traces("show", write_jsonl(tmp_path / "t.jsonl", rows(3)), "r9")
    assert (result.exit_code, "no record named r9" in result.stderr) == (65, True)


def test_an_import_takes_at_least_three_records(tmp_path):
    result = traces("import", "bfcl", tmp_path / "t.parquet", "--max-records", 2)
    assert (result.exit_code, (tmp_path / "t.parquet").exists()) == (2, False)


def test_an_import_can_be_read_back(tmp_path):
    pytest.importorskip("bfcl_eval", reason="the data set's wheel is not installed")
    file = tmp_path / "t.parquet"
    result = traces("import", "bfcl", file, "--max-records", 6, "--max-prompt-chars", 2500)
    assert result.exit_code == 0, result.stderr
    assert f"{file}: 6 traces written" in result.stdout
    assert ": 6 records, 0 rejected" in traces("validate", file).stdout
