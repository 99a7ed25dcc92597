"""The ``cascade`` command and its parts, listed by theme."""

# ruff: noqa: PLC0415 - heavy modules load only when their command runs

from __future__ import annotations

from typing import Annotated

import typer

from cascade_operator.cli import (
    archive,
    chart,
    crd,
    evaluate,
    init,
    installed,
    operator,
    plan,
    rbac,
    report,
    run,
    stages,
    traces,
    validate,
    worker,
)
from cascade_operator.cli.boundary import CascadeGroup, set_debug
from cascade_operator.cli.cluster import edits, status, top
from cascade_operator.cli.console import say

TRAIN = "Train"
LOOK = "Look at results"
DATA = "Traces"
CLUSTER = "On a cluster"
DEVELOP = "Develop and operate"

app = typer.Typer(
    name="cascade",
    cls=CascadeGroup,
    rich_markup_mode="markdown",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=(
        "Exit codes: 0 done, 2 wrong command line, 64 the session is invalid, 65 the data is, "
        "69 a service is unavailable, 73 an archive cannot be written, 143 stopped with a "
        "checkpoint (the same command resumes)."
    ),
)


def _print_version(value: bool) -> None:
    if value:
        from importlib import metadata

        say(f"cascade {metadata.version('cascade-operator')}")
        raise typer.Exit


@app.callback()
def cascade(
    ctx: typer.Context,
    debug: Annotated[
        bool, typer.Option("--debug", help="Keep a traceback file of an internal error.")
    ] = False,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and end."
        ),
    ] = False,
) -> None:
    """Train cascades of LLM agents on human-validated traces.

    A session is one YAML file: it names the agents (nodes), their traces and the models. A run
    proposes other prompts for each node (candidates), tries combinations of them for every subset
    of the nodes (node groups), and leaves archives with the best programs it found.

    Start here: `cascade init`, `cascade plan`, `cascade run`, `cascade archive ls`. Runs write
    below `.cascade/` only. The same session is what `kubectl apply` takes in a cluster.
    """
    set_debug(ctx, debug=debug)


app.command("init", rich_help_panel=TRAIN)(init.init)
app.command("run", rich_help_panel=TRAIN)(run.run)
app.command("validate", rich_help_panel=TRAIN)(validate.validate)
app.command("plan", rich_help_panel=TRAIN)(plan.plan)
app.command("report", rich_help_panel=LOOK)(report.report)
app.add_typer(archive.app, name="archive", rich_help_panel=LOOK)
app.command("evaluate", rich_help_panel=LOOK)(evaluate.evaluate)
app.add_typer(traces.app, name="traces", rich_help_panel=DATA)
app.command("status", rich_help_panel=CLUSTER)(status.status)
app.command("top", rich_help_panel=CLUSTER)(top.top)
app.command("retrain", rich_help_panel=CLUSTER)(edits.retrain)
app.command("suspend", rich_help_panel=CLUSTER)(edits.suspend)
app.command("resume", rich_help_panel=CLUSTER)(edits.resume)
app.command("operator", rich_help_panel=CLUSTER)(operator.operator)
app.command("crd", rich_help_panel=DEVELOP)(crd.crd)
app.command("rbac", rich_help_panel=DEVELOP)(rbac.rbac)
app.command("installed", rich_help_panel=DEVELOP, hidden=True)(installed.installed)
app.command("chart", rich_help_panel=DEVELOP, hidden=True)(chart.chart)
app.command("stages", rich_help_panel=DEVELOP)(stages.stages)
app.command(
    "worker",
    hidden=True,
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)(worker.worker)
