"""``cascade plan``: what a run would take, before anything is spent."""

# ruff: noqa: PLC0415 - heavy modules load only when their command runs

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cascade_operator.cli.console import hint, is_interactive, output_console, say, say_json, show
from cascade_operator.cli.options import (
    DEFAULT_SESSION,
    DEFAULT_STATE,
    Output,
    OutputOption,
    StateOption,
)
from cascade_operator.cli.session_file import read_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from cascade_operator.api.session import TrainingSession
    from cascade_operator.local.plan import SessionPlan


def plan(
    file: Annotated[Path, typer.Argument(help="The session, in YAML.")] = DEFAULT_SESSION,
    calls: Annotated[
        bool,
        typer.Option(
            "--calls/--no-calls",
            help="Ask the task model a few calls, to learn its speed; without, no time is shown.",
        ),
    ] = True,
    state: StateOption = DEFAULT_STATE,
    output: OutputOption = Output.TEXT,
) -> None:
    """Estimate what a run takes: model calls, tokens, cost, time and memory.

    Reads the traces, renders real prompts, and plays the searches through without a model. To
    learn the server's speed it asks the session's own model up to six short calls, and says so
    before; their answers are kept nowhere. Writes nothing. A run makes the same estimate after its
    preparation, and says at its end how far it was off.

    Example: `cascade plan session.yaml --no-calls`
    """
    session = read_session(file)

    import asyncio

    from cascade_operator.agents.dspy_settings import configure_dspy
    from cascade_operator.local.plan import plan_document, plan_session

    configure_dspy()
    found = asyncio.run(
        _planned(plan_session, session, file.resolve().parent, state, ask=calls, output=output)
    )
    if output is Output.JSON:
        say_json(plan_document(found))
        return

    from cascade_operator.cli.plan_view import render_plan

    show(render_plan(found, width=output_console().width))
    hint(f"\nnext: cascade run {file}")


async def _planned(
    plan_session: Callable[..., object],
    session: TrainingSession,
    base: Path,
    state: Path,
    *,
    ask: bool,
    output: Output,
) -> SessionPlan:
    """Plans while a reader sees what is done: a line that goes, or lines on standard error."""
    from typing import Any, cast

    start: Any = plan_session
    if output is Output.TEXT and is_interactive():
        with output_console(err=True).status("starting") as status:
            found = await start(session, base, state, ask=ask, on_step=status.update)
    else:
        found = await start(
            session, base, state, ask=ask, on_step=lambda step: say(f"{step} ...", err=True)
        )
    return cast("SessionPlan", found)
