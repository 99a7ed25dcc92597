"""Help, version, ``validate``, ``crd``, ``stages``, ``worker`` and wrong command lines."""

import json
import subprocess
import sys

import pytest
import yaml
from typer.testing import CliRunner

from cascade_operator.api.records import CallFigures
from cascade_operator.cli.app import app
from cascade_operator.cli.boundary import COMMAND_ORDER
from cascade_operator.cli.evaluate import SplitChoice, Told, print_report
from cascade_operator.cli.options import Output
from cascade_operator.stages import STAGES
from cascade_operator.worker.evaluate import EvaluationReport
from fakes.ticket_runs import ticket_session, write_session

VALID = """
apiVersion: cascade-operator.dev/v1alpha1
kind: TrainingSession
metadata: {name: tool-calls}
spec:
  traces: {file: traces.parquet}
  groups: {sizes: [1, 4]}
"""
NODES = ("classify", "extract", "decide")
COMMANDS = [
    ["init"],
    ["run"],
    ["validate"],
    ["plan"],
    ["report"],
    ["archive", "ls"],
    ["archive", "show"],
    ["archive", "verify"],
    ["archive", "program"],
    ["evaluate"],
    ["traces", "import", "bfcl"],
    ["traces", "validate"],
    ["traces", "show"],
    ["crd"],
    ["rbac"],
    ["stages"],
]


def cascade(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)), prog_name="cascade")


@pytest.fixture
def valid(tmp_path):
    file = tmp_path / "session.yaml"
    file.write_text(VALID)
    return file


def test_help_lists_the_commands_by_theme():
    text = cascade("--help").stdout
    places = [text.index(f" {word} ") for word in ("Train", "Look at results", "Traces", "Develop")]
    assert places == sorted(places)
    assert all(f"│ {name} " in text for name in COMMAND_ORDER if name != "worker")
    assert "│ worker" not in text
    assert "143" in text


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_s_help_has_an_example(command):
    result = cascade(*command, "--help")
    assert result.exit_code == 0
    assert f"Example: cascade {' '.join(command)}" in " ".join(result.stdout.split())


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from cascade_operator.cli import app; "
        "print([m for m in ('pydantic', 'yaml', 'numpy', 'pyarrow', 'dspy', 'redis', 'asyncio')"
        " if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_version():
    result = cascade("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("cascade 0.")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["rnu"], "Did you mean 'run'?", id="typo"),
        pytest.param(["archive", "show"], "Missing argument", id="no-file"),
        pytest.param(["run", "x.yaml", "--output", "xml"], "'xml'", id="bad-choice"),
    ],
)
def test_a_wrong_command_line_ends_with_2(arguments, said):
    result = cascade(*arguments)
    assert (result.exit_code, said in result.stderr) == (2, True)


@pytest.mark.parametrize("command", ["run", "validate", "plan"])
def test_without_a_file_they_read_what_init_writes(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = cascade(command)
    assert result.exit_code == 64
    assert "session.yaml: No such file" in result.stderr
    assert "cascade init" in result.stderr


def test_validate_shows_who_reads_what(valid):
    result = cascade("validate", valid)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == f"{valid}: valid: 5 groups over 4 nodes, sizes 1, 4"
    assert lines[1] == (
        "  agent-00-autogen-bmad: reads request (traces), functions (traces); writes brief"
    )
    assert "requirement (agent-10-baml-transform)" in lines[4]
    assert "specification (agent-20-speckit-dspy)" in lines[4]


def test_validate_prints_each_problem_with_path_value_and_mend(tmp_path):
    file = tmp_path / "session.yaml"
    file.write_text(VALID.replace("[1, 4]", "[9]") + "  paralelism: 3\n")
    result = cascade("validate", file)
    assert (result.exit_code, result.stdout) == (64, "")
    lines = [line.strip() for line in result.stderr.splitlines()]
    assert lines[:2] == [f"{file}:", "error: the session is invalid: 2 problems"]
    assert lines[2:4] == ["spec.groups.sizes[0] = 9", "must be at most 6"]
    assert "spec.paralelism = 3" in lines
    assert lines[-1].startswith("to mend: ")


def test_validate_goes_on_after_an_invalid_file(tmp_path, valid):
    absent = tmp_path / "absent.yaml"
    result = cascade("validate", absent, valid, "--output", "json")
    bad, good = map(json.loads, result.stdout.splitlines())
    assert result.exit_code == 64
    assert (bad["valid"], bad["file"]) == (False, str(absent))
    assert "absent.yaml" in bad["problems"][0]["message"]
    assert bad["problems"][0]["mend"]
    assert (good["valid"], good["groups"][-1]) == (True, "00_01_02_03")


@pytest.mark.parametrize("command", [["run"], ["validate"]], ids=["run", "validate"])
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"a: [", id="no-yaml"),
        pytest.param(b"kind: Pod\n", id="another-kind"),
        pytest.param(b"\xff\xfe\x00", id="no-text"),
        pytest.param(b"#" * (2**20 + 1), id="too-large"),
        pytest.param(b"", id="empty"),
    ],
)
def test_what_is_no_session_ends_with_64(tmp_path, command, content):
    file = tmp_path / "session.yaml"
    file.write_bytes(content)
    result = cascade(*command, file)
    assert result.exit_code == 64, result.stderr
    assert "error: " in result.stderr


def test_evaluate_wants_a_valid_session(tmp_path):
    result = cascade("evaluate", "p.json", "t.parquet", "--session", tmp_path / "absent.yaml")
    assert (result.exit_code, "absent.yaml" in result.stderr) == (64, True)


def test_crd_writes_and_checks(tmp_path):
    folder = tmp_path / "crds"
    missing = cascade("crd", "--check", "--output", folder)
    assert (missing.exit_code, "make generate" in missing.stderr) == (1, True)
    assert not folder.exists()
    assert cascade("crd", "--output", folder).exit_code == 0
    (file,) = folder.iterdir()
    assert file.name == "cascade-operator.dev_trainingsessions.yaml"
    assert yaml.safe_load(file.read_text())["metadata"]["name"] == (
        "trainingsessions.cascade-operator.dev"
    )
    assert cascade("crd", "--check", "--output", folder).exit_code == 0
    file.write_text(file.read_text() + "# changed by hand\n")
    changed = cascade("crd", "--check", "--output", folder)
    assert (changed.exit_code, "differs from the models" in changed.stderr) == (1, True)


def test_stages_lists_a_decade_and_all():
    assert len(cascade("stages", "-o", "json").stdout.splitlines()) == len(STAGES)
    decade = [
        json.loads(line)
        for line in cascade("stages", "--decade", 7, "-o", "json").stdout.splitlines()
    ]
    assert [stage["code"] for stage in decade] == [c for c in STAGES if c // 10 == 7]
    assert "memory-gate" in cascade("stages", "--decade", 7).stdout


def test_stages_takes_one_digit():
    assert cascade("stages", "--decade", 12).exit_code == 2


REPORT = EvaluationReport(
    score=0.625,
    scores={"r1": 1.0, "r2": 0.25},
    parse_failures=1,
    calls=CallFigures(model_calls=8, cache_hits=2),
)


def test_evaluate_prints_score_cost_and_the_worst_records(capsys):
    print_report(REPORT, SplitChoice.HELD_OUT, Output.TEXT)
    assert capsys.readouterr().out.splitlines() == [
        "score 0.6250 on 2 records (heldOut)",
        "  1 outputs could not be parsed (they score 0); 8 model calls, 2 saved",
        "  lowest: r2 0.2500, r1 1.0000",
    ]


def test_evaluate_prints_all_scores_as_json(capsys):
    print_report(REPORT, SplitChoice.ALL, Output.JSON)
    shown = json.loads(capsys.readouterr().out)
    assert (shown["score"], shown["split"], shown["scores"]) == (0.625, "all", REPORT.scores)
    assert (shown["parseFailures"], shown["modelCalls"]) == (1, 8)


def test_worker_is_there_for_jobs_but_hidden():
    result = cascade("worker", "group")
    assert result.exit_code == 2
    assert "--group" in result.stderr


def test_off_a_terminal_evaluate_says_now_and_then_how_far_it_is(capsys):
    times = iter([0.0, 4.0, 11.0, 11.0, 12.0])
    told = Told(lambda: next(times))
    told.say(8, 40)
    told.say(16, 40)
    told.say(24, 40)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "16 of 40 records scored\n")


def test_an_invalid_session_is_named_with_its_file(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(VALID.replace("[1, 4]", "[9]"))
    result = cascade("plan", file)
    assert result.exit_code == 64
    assert f"error: {file}: the session is invalid: 1 problem" in result.stderr
    file.write_text("a: [")
    assert f"error: {file}: " in cascade("run", file).stderr


@pytest.mark.parametrize(
    ("program", "traces", "said"),
    [
        pytest.param("absent.json", "tickets.jsonl", "absent.json is no program", id="program"),
        pytest.param("program.json", "absent.jsonl", "absent.jsonl", id="traces"),
    ],
)
def test_evaluate_looks_at_its_files_before_it_asks_a_server(
    tmp_path, monkeypatch, program, traces, said
):
    monkeypatch.chdir(tmp_path)
    session = write_session(tmp_path, ticket_session("http://127.0.0.1:9"))
    nodes = {name: {"signature": {"instructions": "x"}, "demos": []} for name in NODES}
    (tmp_path / "program.json").write_text(json.dumps(nodes))
    document = yaml.safe_load(session.read_text())
    document["spec"]["redis"] = {"url": "redis://127.0.0.1:9"}
    session.write_text(yaml.safe_dump(document))
    result = cascade("evaluate", program, traces, "--session", session, "--state", tmp_path / "s")
    assert (result.exit_code, said in result.stderr) == (65, True), result.stderr
