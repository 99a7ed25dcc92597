"""What a reader sees of a plan, of how far an estimate was off, and of what comes next."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cascade_operator.api.estimate import CountRange, EstimateBasis, GroupEstimate, RunEstimate
from cascade_operator.api.exit_codes import ExitCode
from cascade_operator.api.status import Phase, TrainingSessionStatus
from cascade_operator.archive.decoder import TableDecoder
from cascade_operator.archive.model import GroupArchive, RunArchive
from cascade_operator.archive.writer import write_archives
from cascade_operator.cli.app import app
from cascade_operator.cli.drive import Ended
from cascade_operator.cli.forecast import forecast_of_archive, forecast_of_run
from cascade_operator.cli.next_steps import next_steps
from cascade_operator.cli.view import ArchiveRow, BestRow, CallRow, RunView
from cascade_operator.local.session_run import RunOutcome
from fakes.archives import make_run
from fakes.ticket_runs import ticket_session, write_session

ESTIMATE = RunEstimate(
    model_calls=CountRange(likely=60, at_most=90),
    groups={
        key: GroupEstimate(model_calls=CountRange(likely=20, at_most=30)) for key in ("00", "02")
    },
    basis=EstimateBasis(prepare_calls=CountRange(likely=20, at_most=20)),
)
COMPLETE = RunView(
    "tickets",
    phase="Complete",
    session_id="20260101T000000Z",
    best=BestRow("00_02", "a+c", 0.9, 0.8, 0.7),
    archives=(ArchiveRow("/v/one.tar.zst", 10, 1), ArchiveRow("/v/the two.tar.zst", 10, 2)),
)


def plan_of(tmp_path, *options, **spec):
    file = write_session(tmp_path, ticket_session("http://127.0.0.1:9", **spec))
    arguments = ["plan", str(file), "--no-calls", *options, "--state", str(tmp_path / "state")]
    return CliRunner().invoke(app, arguments, prog_name="cascade")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_plan_fits_a_terminal(tmp_path, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    ended = plan_of(tmp_path)
    assert ended.exit_code == 0, ended.stderr
    assert max(map(len, ended.stdout.splitlines())) <= width
    text = " ".join(ended.stdout.split())
    assert "tickets: a run trains 4 groups of 3 nodes" in text
    assert "7 to propose from, 6 to select by, 3 held out" in text
    assert "classify+decide" in text
    assert "not known: no server was asked" in text
    assert "groups of nodes start after their subsets: 2 of 1, 1 of 2, 1 of 3" in text


def test_a_plan_says_which_budget_cuts_it_off(tmp_path):
    assert "does not cut it short" in plan_of(tmp_path).stdout
    ended = plan_of(tmp_path, budget={"maxTokens": 20_000})
    assert "spec.budget.maxTokens or maxCost cuts" in ended.stdout


def test_a_budget_of_calls_is_never_exceeded(tmp_path):
    found = json.loads(plan_of(tmp_path, "--output", "json", budget={"maxModelCalls": 20}).stdout)
    assert found["modelCalls"]["atMost"] == 20
    assert found["modelCalls"]["likely"] <= 20


def test_a_plan_gives_the_cost_where_prices_are_named(tmp_path):
    document = ticket_session("http://127.0.0.1:9")
    models = document["spec"]["models"]
    models["task"]["price"] = {"inputPerMillion": 10.0, "outputPerMillion": 30.0}
    ended = plan_of(tmp_path, "--output", "json", models=models)
    found = json.loads(ended.stdout)
    expected = (found["inputTokens"] * 10 + found["outputTokens"] * 30) / 1e6
    assert found["cost"] == pytest.approx(expected, rel=0.02)
    assert "cost " in plan_of(tmp_path, models=models).stdout


def test_a_plan_warns_of_a_limit_that_is_too_small(tmp_path):
    small = {"group": {"limits": {"memory": "128Mi"}}}
    ended = plan_of(tmp_path, resources=small)
    text = " ".join(ended.stdout.split())
    assert "warning: the group Job is expected to use 110 MiB" in text
    assert "raise spec.resources.group.limits.memory" in text
    assert "warning" not in plan_of(tmp_path).stdout


def test_a_memory_budget_holds_jobs_back(tmp_path):
    memory = {"budget": "2Gi", "maxPerJob": "2Gi"}
    found = json.loads(plan_of(tmp_path, "--output", "json", memory=memory).stdout)
    assert found["memory"]["limitsAtOnce"] <= found["memory"]["budget"] == 2 << 30


@pytest.mark.parametrize(
    ("took", "line"),
    [
        pytest.param(
            {"00": 25, "02": 18}, "estimated 60 model calls, took 63 (+5 %)", id="all its groups"
        ),
        pytest.param(
            {"00": 25},
            "the run was estimated to take 60 model calls, 90 at most; these groups took 25",
            id="some of them",
        ),
    ],
)
def test_an_archive_is_compared_with_its_estimate(took, line):
    run = archive_of({key: {"figures": {"calls": {"modelCalls": n}}} for key, n in took.items()})
    assert forecast_of_archive(run) == (line,)


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"figures": None},
        {"figures": {"calls": []}},
        {"figures": {"calls": {"modelCalls": "x"}}},
    ],
)
def test_figures_that_say_nothing_are_not_compared(result):
    assert forecast_of_archive(archive_of({"00": result})) == ()


def test_an_archive_without_an_estimate_is_not_compared():
    run = archive_of({"00": {"figures": {"calls": {"modelCalls": 3}}}})
    assert forecast_of_archive(replace(run, documents={})) == ()


def archive_of(results) -> RunArchive:
    base = make_run()
    group = next(iter(base.groups.values()))
    groups: dict[str, GroupArchive] = {
        key: replace(group, key=key, result=result) for key, result in results.items()
    }
    documents = {"65_estimate.json": json.dumps(ESTIMATE.dump()).encode()}
    return replace(base, groups=groups, documents=documents)


@pytest.mark.parametrize(
    ("view", "lines"),
    [
        pytest.param(
            COMPLETE,
            ("next: cascade archive program '/v/the two.tar.zst' > program.json",),
            id="complete",
        ),
        pytest.param(
            replace(COMPLETE, phase="Failed"),
            ("logs: .cascade/runs/20260101T000000Z/logs",),
            id="failed",
        ),
        pytest.param(replace(COMPLETE, best=None), (), id="nothing found"),
        pytest.param(replace(COMPLETE, phase="Training"), (), id="stopped"),
    ],
)
def test_what_comes_next_can_be_copied(view, lines):
    found = next_steps(view, Path(".cascade"))
    assert len(found) == len(lines)
    assert all(shown.startswith(line) for shown, line in zip(found, lines, strict=True))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        pytest.param(
            {"calls": CallRow(model_calls=66), "elapsed": 80.0},
            "estimated 60 model calls, took 66 (+10 %); time: estimated 1m30s, took 1m20s",
            id="cold",
        ),
        pytest.param(
            {"calls": CallRow(model_calls=3), "warm_started_from": "20250101T000000Z"},
            "estimated 60 model calls, took 3 (-95 %); "
            "what earlier runs had asked came from the cache",
            id="warm",
        ),
    ],
)
def test_a_run_s_end_says_how_far_its_estimate_was_off(tmp_path, decoder, changes, line):
    estimate = ESTIMATE.model_copy(update={"seconds": 90.0} if "elapsed" in changes else {})
    document = json.dumps(estimate.dump()).encode()
    run = make_run(["00"], documents={"65_estimate.json": document})
    write_archives(run, tmp_path, decoder=decoder)
    ended = ended_with(tmp_path, Phase.COMPLETE, replace(COMPLETE, **changes))
    assert forecast_of_run(ended) == (line,)


def test_a_run_that_is_not_over_or_has_no_estimate_is_not_compared(tmp_path, decoder):
    write_archives(make_run(["00"], documents={}), tmp_path, decoder=decoder)
    assert forecast_of_run(ended_with(tmp_path, Phase.COMPLETE, COMPLETE)) == ()
    assert forecast_of_run(ended_with(tmp_path, Phase.TRAINING, COMPLETE)) == ()
    absent = Ended(
        RunOutcome(status(Phase.COMPLETE), ExitCode.OK, (tmp_path / "x",), ""), COMPLETE, False
    )
    assert forecast_of_run(absent) == ()


def status(phase: Phase) -> TrainingSessionStatus:
    return TrainingSessionStatus(observed_generation=1, phase=phase)


def ended_with(folder: Path, phase: Phase, last: RunView) -> Ended:
    files = tuple(one for one in folder.rglob("*") if one.is_file())
    return Ended(RunOutcome(status(phase), ExitCode.OK, files, ""), last, nothing_to_do=False)


@pytest.fixture(scope="module")
def decoder():
    with TableDecoder() as running:
        yield running
