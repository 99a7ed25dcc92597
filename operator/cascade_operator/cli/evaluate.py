"""``cascade evaluate``: scores a program on traces, any program on any traces."""

# ruff: noqa: PLC0415 - heavy modules load only when their command runs

from __future__ import annotations

import os
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from cascade_operator.cli.console import is_interactive, output_console, say, say_json
from cascade_operator.cli.options import (
    DEFAULT_SESSION,
    DEFAULT_STATE,
    Output,
    OutputOption,
    StateOption,
)
from cascade_operator.cli.session_file import read_session
from cascade_operator.monitoring.figures import count_text, score_text

if TYPE_CHECKING:
    from cascade_operator.api.session import TrainingSessionSpec
    from cascade_operator.worker.evaluate import EvaluationReport

LOWEST_SHOWN = 5
TOLD_EVERY = 10.0
"""Seconds between two lines about how far it is, off a terminal."""


class SplitChoice(StrEnum):
    """The records to score."""

    HELD_OUT = "heldOut"
    VALIDATION = "validation"
    TRAINING = "training"
    ALL = "all"


def evaluate(
    program: Annotated[
        Path,
        typer.Argument(help="A program, as `cascade archive program` prints.", show_default=False),
    ],
    traces: Annotated[Path, typer.Argument(help="Traces: .parquet or .jsonl.", show_default=False)],
    session: Annotated[
        Path, typer.Option("--session", help="The session: its cascade, models and objective.")
    ] = DEFAULT_SESSION,
    split: Annotated[
        SplitChoice, typer.Option(help="The records to score.")
    ] = SplitChoice.HELD_OUT,
    state: StateOption = DEFAULT_STATE,
    output: OutputOption = Output.TEXT,
) -> None:
    """Score a program on traces with the session's objective.

    A program is the JSON that `cascade archive program` prints: each node's instructions and
    examples. It runs end to end on each record, and what comes out is compared with what a person
    validated. By default on the records that training held out.

    Example: `cascade evaluate program.json traces.parquet --session session.yaml --split heldOut`
    """
    spec = read_session(session).spec

    import asyncio

    from cascade_operator.agents.dspy_settings import configure_dspy

    configure_dspy()
    with _progress(quiet=output is Output.JSON) as bar:
        task = bar.add_task("starting", total=None)
        told, plain = Told(), bar.disable and output is Output.TEXT

        def on_progress(done: int, total: int) -> None:
            bar.update(task, description="records scored", completed=done, total=total)
            if plain:
                told.say(done, total)

        if plain:
            say("starting ...", err=True)
        report = asyncio.run(
            _evaluate(program, traces, spec, split=split, state=state, on_progress=on_progress)
        )
    print_report(report, split, output)


async def _evaluate(
    program: Path,
    traces: Path,
    spec: TrainingSessionSpec,
    *,
    split: SplitChoice,
    state: Path,
    on_progress: Callable[[int, int], None],
) -> EvaluationReport:
    """Scores the program beside the servers that the session leaves to this machine."""
    import asyncio

    from cascade_operator.api.resolve import resolve
    from cascade_operator.local.embedded import LOCAL_DEFAULTS, embedded_servers
    from cascade_operator.local.state import StateFolder
    from cascade_operator.worker.evaluate import evaluate_program

    folder = StateFolder.at(state)
    with folder.lock():
        async with embedded_servers(spec, folder) as servers:
            # The transport finds servers and keys as a Job does, by its environment.
            os.environ.update(servers.environment)
            os.environ.setdefault("CASCADE_SECRETS", str(folder.path / "secrets"))
            return await asyncio.to_thread(
                evaluate_program,
                program,
                traces,
                resolve(spec, LOCAL_DEFAULTS),
                split=split.value,
                on_progress=on_progress,
            )


def print_report(report: EvaluationReport, split: SplitChoice, output: Output) -> None:
    """Prints the score, what it cost, and the records that did worst."""
    if output is Output.JSON:
        say_json(
            {
                "score": report.score,
                "split": split.value,
                "records": len(report.scores),
                "scores": dict(report.scores),
                "parseFailures": report.parse_failures,
                "modelCalls": report.calls.model_calls,
                "savedCalls": report.calls.saved_calls,
            }
        )
        return
    say(f"score {score_text(report.score)} on {len(report.scores)} records ({split.value})")
    say(
        f"  {report.parse_failures} outputs could not be parsed (they score 0); "
        f"{count_text(report.calls.model_calls)} model calls, "
        f"{count_text(report.calls.saved_calls)} saved"
    )
    lowest = sorted(report.scores.items(), key=lambda item: (item[1], item[0]))[:LOWEST_SHOWN]
    if lowest:
        say("  lowest: " + ", ".join(f"{name} {score_text(value)}" for name, value in lowest))


class Told:
    """Says off a terminal how far it is, on standard error and not too often."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()

    def say(self, done: int, total: int) -> None:
        """Says so where a while has passed since it was said last."""
        if self._clock() - self._last >= TOLD_EVERY:
            self._last = self._clock()
            say(f"{done} of {total} records scored", err=True)


def _progress(*, quiet: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=output_console(err=True),
        transient=True,
        disable=quiet or not is_interactive(),
    )
