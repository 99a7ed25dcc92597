"""The one error boundary: what a user reads when a command fails, and the exit code."""

from __future__ import annotations

import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from cascade_operator.api.errors import CascadeError
from cascade_operator.api.exit_codes import ExitCode
from cascade_operator.cli.console import say

COMMAND_ORDER = (
    *("init", "validate", "plan", "run"),
    *("report", "archive", "evaluate", "traces"),
    *("status", "top", "retrain", "suspend", "resume", "operator"),
    *("crd", "rbac", "stages", "worker"),
)
"""How ``cascade --help`` lists them: by theme, the first steps first."""


class CascadeGroup(TyperGroup):
    """The top command. Errors of any command below it end here, none as a traceback."""

    debug: bool = False

    def list_commands(self, ctx: Any) -> list[str]:
        """Returns the commands in the order they were given, not single ones before groups."""
        place = {name: index for index, name in enumerate(COMMAND_ORDER)}
        return sorted(super().list_commands(ctx), key=lambda name: place.get(name, len(place)))

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the command line and ends the process with a documented exit code."""
        try:
            return super().main(*args, **kwargs)
        except CascadeError as error:
            report_error(error)
            sys.exit(int(error.exit_code))
        except Exception as error:  # noqa: BLE001 - the last boundary: nothing above could say it
            report_bug(error, debug=self.debug)
            sys.exit(int(ExitCode.SOFTWARE))


def set_debug(ctx: typer.Context, *, debug: bool) -> None:
    """Tells the boundary whether a traceback is to be kept."""
    root = ctx.find_root().command
    if isinstance(root, CascadeGroup):
        root.debug = debug


def report_error(error: CascadeError, *, name_file: bool = True) -> None:
    """Says on standard error what is wrong and what to do: each problem where it lists several.

    Args:
        error: The error; its notes are the files it is about.
        name_file: Whether to begin with them.
    """
    where = "".join(f"{file}: " for file in getattr(error, "__notes__", ()) if name_file)
    problems = getattr(error, "problems", ())
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        say(f"error: {where}the session is invalid: {count}", err=True)
        for problem in problems:
            say(describe_problem(problem), err=True)
        return
    say(f"error: {where}{error}", err=True)
    if error.mend:
        say(f"  to mend: {error.mend}", err=True)


def describe_problem(problem: Any) -> str:
    """Renders an ``api.validate.Problem``: path and value, what is wrong, what to do."""
    value = f" = {problem.value}" if problem.value not in (None, "") else ""
    lines = [f"  {problem.path or '(document)'}{value}", f"      {problem.message}"]
    if problem.mend:
        lines.append(f"      to mend: {problem.mend}")
    return "\n".join(lines)


def report_bug(error: BaseException, *, debug: bool) -> None:
    """Says in two lines that the error is ours; keeps the traceback in a file when asked."""
    text = str(error).strip().splitlines()
    first = f": {text[0][:300]}" if text else ""
    say(f"internal error: {type(error).__name__}{first}", err=True)
    if not debug:
        say("  `cascade --debug ...` keeps a traceback to report", err=True)
        return
    with tempfile.NamedTemporaryFile(
        "w", prefix="cascade-traceback-", suffix=".log", delete=False, encoding="utf-8"
    ) as log:
        log.write("".join(traceback.format_exception(error)))
    say(f"  traceback: {Path(log.name)}", err=True)
