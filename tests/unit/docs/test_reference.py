"""The generated pages are current, and hold all of what they are made from."""

import re

import pytest
import typer

from cascade_operator.api.cel_rules import CEL_RULES
from cascade_operator.api.crd import build_crd
from cascade_operator.cli import app, kubectl
from fakes.documents import DOCS, read_page
from reference.__main__ import PAGES, main
from reference.cli_page import commands
from reference.markdown import prose, table
from reference.metrics_page import families

SCHEMA = build_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]


def fields(schema, path):
    """Every field below a schema: its path without the marks of lists, and its own schema."""
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}.{name}", inner
        yield from fields(inner, f"{path}.{name}")
        yield from fields(inner.get("items", {}), f"{path}.{name}")


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_current(name):
    assert (DOCS / "reference" / name).read_text(encoding="utf-8") == PAGES[name](), "make generate"


def test_the_check_sees_a_page_that_differs(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "docs" / "reference"
    folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert main(["--check"]) == 1
    assert "api.md is missing; mend it with: make generate" in capsys.readouterr().err
    assert main([]) == 0
    assert main(["--check"]) == 0
    (folder / "cli.md").write_text("old\n", encoding="utf-8")
    capsys.readouterr()
    assert main(["--check"]) == 1
    assert "cli.md differs from the code; mend it with: make generate" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["spec", "status"])
def test_every_field_is_there_with_its_words(part):
    page = read_page("reference/api.md")
    found = list(fields(SCHEMA[part], part))
    assert len(found) > 60
    missing = [
        path
        for path, inner in found
        if not re.search(
            rf"^\| `{path.rpartition('.')[2]}`.* \| {re.escape(prose(inner['description']))} \|$",
            page,
            re.MULTILINE,
        )
    ]
    assert missing == []


def test_every_default_of_the_crd_is_there():
    rows = re.findall(
        r"^\| `(\w+)`.*? \| .* \| (.*) \| .* \|$", read_page("reference/api.md"), re.M
    )
    shown = {(name, default.strip("`")) for name, default in rows}
    for path, inner in fields(SCHEMA["spec"], "spec"):
        default = inner.get("default")
        if default is None or isinstance(default, dict | list):
            continue
        text = str(default).lower() if isinstance(default, bool) else f"{default}"
        text = text.removesuffix(".0")
        assert (path.rpartition(".")[2], text) in shown, path


def test_every_rule_of_the_api_server_is_there():
    page = read_page("reference/api.md")
    for path, rules in CEL_RULES.items():
        for rule, message in rules:
            assert f"- {prose(message)}\n" in page, path
            assert f"    {rule}\n" in page, path


def test_every_command_and_option_is_there():
    page = read_page("reference/cli.md")
    for name, tree in (("cascade", app.app), ("kubectl cascade", kubectl.app)):
        for path, command in commands(typer.main.get_command(tree), name):
            section = page[page.index(f"## `{path}` ") :].split("\n## ")[0]
            for one in command.params:
                if one.param_type_name == "option":
                    assert f"`{one.opts[0]}`" in section
                if isinstance(one.envvar, str):
                    assert f"`{one.envvar}`" in section


def test_metrics_are_those_of_a_scrape():
    page = read_page("reference/metrics.md")
    for name, kind, labels, _ in families():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert f"| {kind} | {', '.join(f'`{one}`' for one in labels)} |" in row
    assert len(list(families())) > 15


def test_a_cell_keeps_its_column():
    assert table(["a", "b"], [[prose("x | y"), prose("*z* <b>")]]).splitlines()[2] == (
        "| x \\| y | \\*z\\* \\<b> |"
    )
