"""``cascade archive`` on real archives."""

import json

import pytest
from typer.testing import CliRunner

from cascade_operator.archive.writer import write_archives
from cascade_operator.cli.app import app
from cascade_operator.cli.archive import best_group
from fakes.archives import SESSION_ID, make_group, make_run

RESULTS = {
    "00": {"group": "00", "baseline": 0.5, "score": 0.6, "heldOut": 0.55},
    "10": {"group": "10", "baseline": 0.5, "score": 0.75, "heldOut": 0.7},
    "00_10": {"group": "00_10", "baseline": 0.5, "score": 0.7},
}


def cascade(*arguments):
    return CliRunner().invoke(app, ["archive", *map(str, arguments)])


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    folder = tmp_path_factory.mktemp("state")
    groups = {
        key: make_group(
            key, result={"figures": result}, program_json=json.dumps({"of": key}).encode()
        )
        for key, result in RESULTS.items()
    }
    volume = folder / "volumes" / "archives"
    volume.mkdir(parents=True)
    write_archives(make_run(groups=groups), volume)
    return folder


def file_of(state, size):
    name = f"{SESSION_ID}_size{size:02d}.tar.zst"
    return state / "volumes" / "archives" / "team-a" / "support" / name


def test_ls_lists_runs_and_files(state):
    result = cascade("ls", "--state", state)
    assert result.exit_code == 0
    head, first, second = result.stdout.splitlines()
    assert head == f"team-a/support  {SESSION_ID}  final"
    assert first.endswith(str(file_of(state, 1)))
    assert second.split()[:2] == ["size", "2"]


def test_ls_of_a_mounted_volume_as_json(state):
    result = cascade("ls", "--root", state / "volumes" / "archives", "-o", "json")
    run = json.loads(result.stdout)
    assert (run["sessionId"], run["complete"]) == (SESSION_ID, True)
    assert [file["groupSize"] for file in run["files"]] == [1, 2]


def test_ls_of_an_empty_state_says_so(tmp_path):
    result = cascade("ls", "--state", tmp_path)
    assert (result.exit_code, "no archives in" in result.stdout) == (0, True)


def test_ls_of_a_folder_that_is_not_there_ends_with_65(tmp_path):
    result = cascade("ls", "--root", tmp_path / "absent")
    assert result.exit_code == 65
    assert "no such file" in result.stderr


def test_show_names_groups_figures_and_the_best(state):
    result = cascade("show", file_of(state, 1))
    assert result.exit_code == 0
    assert f"team-a/support  {SESSION_ID}  (final)" in result.stdout
    assert "records: training 2, validation 3, heldOut 1" in result.stdout
    rows = {line.split()[0]: line.split() for line in result.stdout.splitlines() if line}
    assert rows["00"] == ["00", "autogen", "2", "0.5000", "0.6000", "+0.1000", "0.5500"]
    assert rows["10"][-2:] == ["best", "here"]


def test_show_as_json(state):
    shown = json.loads(cascade("show", file_of(state, 1), "-o", "json").stdout)
    assert (shown["best"], shown["progressive"], sorted(shown["groups"])) == (
        "10",
        False,
        ["00", "10"],
    )


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        pytest.param([], "10", id="the-best-by-default"),
        pytest.param(["--group", "00"], "00", id="a-named-group"),
    ],
)
def test_program_prints_json_only(state, arguments, key):
    result = cascade("program", file_of(state, 1), *arguments)
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"of": key})


def test_program_of_an_unknown_group_names_those_there_are(state):
    result = cascade("program", file_of(state, 1), "--group", "07")
    assert (result.exit_code, result.stdout) == (65, "")
    assert "holds no program of group 07" in result.stderr
    assert "it has programs of: 00, 10" in result.stderr


def test_the_best_group_is_the_first_on_a_tie_and_needs_a_program():
    groups = {
        "00": make_group("00", result={"figures": {"score": 0.9}}, program_json=None),
        "10": make_group("10", result={"figures": {"score": "0.8000"}}),
        "20": make_group("20", result={"figures": {"score": 0.8}}),
    }
    assert best_group(make_run(groups=groups)).key == "10"
    assert best_group(make_run(groups={})) is None


def test_verify_says_ok(state):
    result = cascade("verify", file_of(state, 1))
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{file_of(state, 1)}: ok, ")
    assert result.stdout.rstrip().endswith("2 groups")


def test_verify_names_the_damaged_one_and_ends_with_65(state, tmp_path):
    broken = tmp_path / "broken.tar.zst"
    broken.write_bytes(file_of(state, 1).read_bytes()[:-20])
    result = cascade("verify", broken, tmp_path / "absent.tar.zst")
    assert result.exit_code == 65
    assert f"{broken}: damaged" in result.stdout
    assert "2 of 2 archives cannot be restored from" in result.stderr


def test_verify_as_json_is_one_object_an_archive(state, tmp_path):
    result = cascade("verify", file_of(state, 2), tmp_path / "absent.tar.zst", "-o", "json")
    good, bad = map(json.loads, result.stdout.splitlines())
    assert result.exit_code == 65
    assert (good["ok"], good["groups"], good["problems"]) == (True, ["00_10"], [])
    assert bad["ok"] is False
    assert bad["problems"]


def test_show_of_a_missing_file_ends_with_65(tmp_path):
    result = cascade("show", tmp_path / "absent.tar.zst")
    assert result.exit_code == 65
    assert "no such file" in result.stderr
