"""What a user reads when a command fails."""

from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from cascade_operator.api.errors import DataError, ServiceUnavailable, SpecError
from cascade_operator.cli.boundary import CascadeGroup, set_debug
from cascade_operator.cli.console import clean


def failing_app(error):
    app = typer.Typer(cls=CascadeGroup, pretty_exceptions_enable=False)

    @app.callback()
    def top(ctx: typer.Context, debug: bool = False) -> None:
        set_debug(ctx, debug=debug)

    @app.command()
    def fail() -> None:
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SpecError("the cascade has no node", mend="add one"), 64),
        (DataError("row 3 is bad", mend="mend it"), 65),
        (ServiceUnavailable("Redis does not answer"), 69),
    ],
    ids=["spec", "data", "service"],
)
def test_an_error_ends_with_its_code_and_says_what_to_do(error, code):
    result = CliRunner().invoke(failing_app(error), ["fail"])
    assert result.exit_code == code
    assert result.stdout == ""
    expected = f"error: {error}\n" + (f"  to mend: {error.mend}\n" if error.mend else "")
    assert result.stderr == expected


def test_each_problem_of_a_session_is_listed():
    error = SpecError("the session is invalid", mend="mend what is listed")
    error.problems = [
        SimpleNamespace(
            path="spec.cascade.tiers[1].name", value="BAD", message="not a name", mend="use a-z"
        ),
        SimpleNamespace(path="", value="", message="no kind", mend=""),
    ]
    result = CliRunner().invoke(failing_app(error), ["fail"])
    assert result.stderr.splitlines() == [
        "error: the session is invalid: 2 problems",
        "  spec.cascade.tiers[1].name = BAD",
        "      not a name",
        "      to mend: use a-z",
        "  (document)",
        "      no kind",
    ]


def test_a_bug_is_short_and_ends_with_70():
    result = CliRunner().invoke(failing_app(KeyError("missing\nsecond line")), ["fail"])
    assert result.exit_code == 70
    assert result.stderr.startswith("internal error: KeyError: 'missing")
    assert "Traceback" not in result.stderr
    assert "cascade --debug" in result.stderr


def test_debug_keeps_the_traceback_in_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = CliRunner().invoke(failing_app(ZeroDivisionError("half")), ["--debug", "fail"])
    (log,) = tmp_path.iterdir()
    assert result.exit_code == 70
    assert f"traceback: {log}" in result.stderr
    assert "ZeroDivisionError: half" in log.read_text()


def test_an_exit_asked_for_is_not_a_bug():
    assert CliRunner().invoke(failing_app(typer.Exit(75)), ["fail"]).exit_code == 75


def test_escape_sequences_in_an_error_do_not_reach_the_terminal():
    result = CliRunner().invoke(failing_app(DataError("name \x1b]0;x\x07 is bad")), ["fail"])
    assert result.stderr == "error: name \\x1b]0;x\\x07 is bad\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("plain\ttext\nline", "plain\ttext\nline", id="tabs-and-lines-stay"),
        pytest.param("a\rb", "a\\rb", id="carriage-return"),
        pytest.param("abc\u202edef", "abc\\u202edef", id="right-to-left-override"),
        pytest.param("\x9b31m", "\\x9b31m", id="c1-control"),
        pytest.param("\ud800", "\\ud800", id="lone-surrogate"),
        pytest.param("Ärger 東京 🙂", "Ärger 東京 🙂", id="letters-stay"),
    ],
)
def test_control_characters_become_visible(text, shown):
    assert clean(text) == shown
