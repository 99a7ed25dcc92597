"""``cascade report``: one page on a run, at any time."""

# ruff: noqa: PLC0415 - heavy modules load only when their command runs

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cascade_operator.api.errors import CascadeError
from cascade_operator.cli.console import say
from cascade_operator.cli.options import DEFAULT_STATE, StateOption

if TYPE_CHECKING:
    from cascade_operator.report.build import RunSources

FILE_NAME: Final = "report.html"
_ARCHIVES: Final = (".tar.zst", ".tar.gz")


def report(
    run: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|FILE...",
            help="A run's session id, a session's name for its last run, or a run's archives.",
            show_default=False,
        ),
    ],
    state: StateOption = DEFAULT_STATE,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Where to write it. Default: beside the run's logs; for archives, here.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a run's report: one page that needs no network, also while the run goes on.

    Example: `cascade report tool-calls`, or `cascade report 20260101T000000Z_size*.tar.zst`
    """
    from cascade_operator.local.report_source import sources_of_files, sources_of_run

    if run[0].endswith(_ARCHIVES):
        sources = sources_of_files([Path(name) for name in run])
        path = output or Path(f"{sources.session_id}_{FILE_NAME}")
    else:
        if len(run) > 1:
            raise typer.BadParameter("name one run, or archive files alone")
        sources = sources_of_run(state, run[0], now=datetime.now(UTC))
        path = output or _place(state, sources.session_id)
    _write(sources, path)
    say(f"report {path}")


def report_at_end(state: Path, session: str, *, fresh: bool) -> Path | None:
    """Writes the report of a session's last run; that it cannot be is said, and no more.

    Args:
        state: The state folder.
        session: The session's name.
        fresh: Whether the run went on since the last report: else one that is there stays.

    Returns:
        Where it lies; None where there is none.
    """
    from cascade_operator.local.report_source import sources_of_run

    try:
        sources = sources_of_run(state, session, now=datetime.now(UTC))
        path = _place(state, sources.session_id)
        if fresh or not path.is_file():
            _write(sources, path)
    except CascadeError as error:
        say(f"no report: {error}", err=True)
    except Exception as error:  # noqa: BLE001 - a run's end must not hang on its report
        say(f"no report: {type(error).__name__}: {error}", err=True)
    except KeyboardInterrupt:
        say("no report: interrupted; `cascade report` writes it", err=True)
    else:
        return path
    return None


def _place(state: Path, session_id: str) -> Path:
    return state / "runs" / session_id / FILE_NAME


def _write(sources: RunSources, path: Path) -> None:
    # What the plotting library says of fonts and folders is no matter of ours.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from cascade_operator.report.write import write_report

    write_report(sources, path)
