"""``cascade run``: trains a session on this machine."""

# ruff: noqa: PLC0415 - heavy modules load only when their command runs

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cascade_operator.api.errors import CascadeError
from cascade_operator.api.exit_codes import ExitCode
from cascade_operator.cli.console import (
    is_interactive,
    lasting,
    output_console,
    say,
    say_json,
    show,
)
from cascade_operator.cli.options import (
    DEFAULT_SESSION,
    DEFAULT_STATE,
    Output,
    OutputOption,
    StateOption,
)
from cascade_operator.cli.progress_view import LastingView, LineView, LiveView, ProgressView
from cascade_operator.cli.report import report_at_end
from cascade_operator.cli.session_file import read_session
from cascade_operator.cli.summary import render_summary

if TYPE_CHECKING:
    from cascade_operator.api.session import TrainingSession
    from cascade_operator.cli.drive import Ended


def run(
    file: Annotated[Path, typer.Argument(help="The session, in YAML.")] = DEFAULT_SESSION,
    state: StateOption = DEFAULT_STATE,
    output: OutputOption = Output.TEXT,
    retrain: Annotated[
        bool,
        typer.Option("--retrain", help="Start a new run although the session has not changed."),
    ] = False,
) -> None:
    """Train a session on this machine: no cluster, no server needed.

    Ctrl-C once saves checkpoints and stops; the same command resumes. A session that is complete
    starts a new run when its file changes, or with `--retrain`; it then starts warm from its
    archives.

    Writes below the state folder: archives in `volumes/`, a log of each Job in `runs/ID/logs/`,
    and `sessions/NAME/status.yaml`. Jobs are processes here: one that prepares, one for each group
    of nodes, and some that write archives.

    Example: `cascade run session.yaml`
    """
    session = read_session(file)

    import asyncio

    from cascade_operator.cli.drive import ENDED_HARD, drive
    from cascade_operator.local.session_run import run_session

    view: ProgressView
    if output is Output.JSON:
        view = LineView(as_json=True)
    else:
        view = LiveView() if is_interactive() else LineView()

    try:
        ended = asyncio.run(
            drive(
                run_session,
                session,
                base=file.resolve().parent,
                state=state,
                view=LastingView(view),
                retrain=retrain,
            )
        )
    except asyncio.CancelledError:
        raise typer.Exit(ENDED_HARD) from None
    except CascadeError:
        if (state / "sessions" / session.metadata.name / "status.yaml").is_file():
            report_at_end(state, session.metadata.name, fresh=True)
        raise
    page = None
    if ended.outcome.session_id:
        page = report_at_end(state, session.metadata.name, fresh=not ended.nothing_to_do)
    lasting(lambda: _print_end(ended, session, state, output, page))
    raise typer.Exit(int(ended.outcome.exit_code))


def _print_end(
    ended: Ended, session: TrainingSession, state: Path, output: Output, page: Path | None
) -> None:
    from cascade_operator.cli.forecast import forecast_of_run
    from cascade_operator.cli.next_steps import next_steps
    from cascade_operator.cli.snapshot import uses_embedded_model

    outcome = ended.outcome
    if output is Output.JSON:
        say_json(
            {
                "event": "outcome",
                "exitCode": int(outcome.exit_code),
                "sessionId": outcome.session_id,
                "archives": [str(path) for path in outcome.archives],
                "report": None if page is None else str(page),
                "status": outcome.status.model_dump(mode="json", by_alias=True, exclude_none=True),
            }
        )
        return
    width = output_console().width
    show(render_summary(ended.last, embedded=uses_embedded_model(session), width=width))
    if page is not None:
        say(f"report {page}")
    for line in (*forecast_of_run(ended), *next_steps(ended.last, state)):
        say(line)
    if ended.nothing_to_do:
        say("nothing has changed since; --retrain starts a new run")
    elif outcome.exit_code == ExitCode.TERMINATED:
        say("stopped, checkpoints are saved; the same command resumes")
