"""``cascade validate``: says what is wrong with a session, and how to mend it."""

# ruff: noqa: PLC0415 - heavy modules load only when their command runs

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cascade_operator.api.errors import SpecError
from cascade_operator.cli.boundary import report_error
from cascade_operator.cli.console import hint, say, say_json
from cascade_operator.cli.options import DEFAULT_SESSION, Output, OutputOption
from cascade_operator.cli.session_file import read_session

if TYPE_CHECKING:
    from cascade_operator.api.cascade import CascadeSpec
    from cascade_operator.api.session import TrainingSession


def validate(
    files: Annotated[list[Path] | None, typer.Argument(help="Sessions, in YAML.")] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Check sessions without running them; ends with 64 when one is invalid.

    Shows of a valid one which node reads what from which, and how many groups of nodes it trains.
    Without a file it checks `session.yaml`.

    Example: `cascade validate session.yaml`
    """
    valid = True
    for file in files or [DEFAULT_SESSION]:
        try:
            session = read_session(file)
        except SpecError as error:
            valid = False
            _print_invalid(file, error, output)
        else:
            _print_valid(file, session, output)
    if not valid:
        raise typer.Exit(int(SpecError.exit_code))


def _print_invalid(file: Path, error: SpecError, output: Output) -> None:
    if output is Output.TEXT:
        say(f"{file}:", err=True)
        report_error(error, name_file=False)
        return
    problems = [
        {"path": p.path, "value": p.value, "message": p.message, "mend": p.mend}
        for p in getattr(error, "problems", ())
    ] or [{"path": "", "value": "", "message": str(error), "mend": error.mend}]
    say_json({"file": str(file), "valid": False, "problems": problems})


def _print_valid(file: Path, session: TrainingSession, output: Output) -> None:
    from cascade_operator.api.groups import select_groups
    from cascade_operator.api.resolve import resolve_cascade

    cascade = resolve_cascade(session.spec.cascade)
    groups = select_groups(cascade, session.spec.groups)
    if output is Output.JSON:
        say_json({"file": str(file), "valid": True, "groups": [group.key for group in groups]})
        return
    sizes = sorted({group.size for group in groups})
    say(
        f"{file}: valid: {len(groups)} groups over {len(cascade.nodes)} nodes, "
        f"sizes {', '.join(map(str, sizes))}"
    )
    for line in reading_lines(cascade):
        say(f"  {line}")
    hint(f"next: cascade plan {file}, then cascade run {file}")


def reading_lines(cascade: CascadeSpec) -> list[str]:
    """Says of each node, in cascade order, which field it reads from whom and what it writes."""
    writer: dict[str, str] = {}
    lines = []
    for node in cascade.nodes:
        signature = node.parsed
        reads = [f"{f.name} ({writer.get(f.name, 'traces')})" for f in signature.inputs]
        writes = [f.name for f in signature.outputs]
        lines.append(f"{node.name}: reads {', '.join(reads)}; writes {', '.join(writes)}")
        writer |= dict.fromkeys(writes, node.name)
    return lines
