"""``cascade init``: a first session that is valid, trains the quickstart, and replaces nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from cascade_operator.cli.app import app

QUICKSTART = Path(__file__).parents[3] / "examples" / "quickstart.yaml"


def cascade(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)), prog_name="cascade")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_writes_one_file_that_is_valid(folder):
    written = cascade("init")
    assert written.exit_code == 0, written.stderr
    assert [one.name for one in folder.iterdir()] == ["session.yaml"]
    assert "cascade run session.yaml" in written.stdout
    checked = cascade("validate")
    assert checked.exit_code == 0, checked.stderr
    assert checked.stdout.startswith("session.yaml: valid: 15 groups over 4 nodes")


def test_it_trains_what_the_quickstart_trains(folder):
    cascade("init")
    written = yaml.safe_load((folder / "session.yaml").read_text())
    assert written == yaml.safe_load(QUICKSTART.read_text())


def test_what_it_shows_in_comments_is_valid_too(folder):
    cascade("init")
    file = folder / "session.yaml"
    lines = []
    for line in file.read_text().splitlines():
        shown = line.lstrip().removeprefix("# ")
        commented = line.lstrip().startswith("# ")
        keys = ("cascade:", "tiers:", "- name:", "code:", "nodes:", "signature:", "instructions:")
        keys += ("budget:", "maxDuration:", "maxModelCalls:", "provider:", "endpoint:", "model:")
        if not commented:
            lines.append(line)
        elif shown.lstrip().startswith(keys):
            lines.append(line.replace("# ", "", 1))
    file.write_text("\n".join(lines))
    document = yaml.safe_load(file.read_text())
    assert document["spec"]["cascade"]["tiers"][0]["nodes"][0]["name"] == "classify"
    assert document["spec"]["budget"] == {"maxDuration": "2h", "maxModelCalls": 1000}
    checked = cascade("validate")
    assert checked.exit_code == 0, checked.stderr


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("tool-calls.yaml", "tool-calls"),
        ("My Session!.yml", "my-session"),
        ("session.yaml", "quickstart"),
        ("ä.yaml", "quickstart"),
    ],
)
def test_the_session_is_named_after_its_file(folder, file, name):
    assert cascade("init", file).exit_code == 0
    document = yaml.safe_load((folder / file).read_text())
    assert document["metadata"]["name"] == name
    assert cascade("validate", file).exit_code == 0


@pytest.mark.parametrize(
    ("file", "said"),
    [
        pytest.param("there.yaml", "is there already", id="exists"),
        pytest.param("absent/session.yaml", "cannot be written", id="no folder"),
    ],
)
def test_it_replaces_nothing(folder, file, said):
    (folder / "there.yaml").write_text("mine")
    ended = cascade("init", file)
    assert ended.exit_code == 2
    assert said in " ".join(ended.stderr.replace("│", " ").split())
    assert (folder / "there.yaml").read_text() == "mine"
