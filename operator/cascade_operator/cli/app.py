"""The ``cascade`` command and its parts, listed by theme."""

from __future__ import annotations

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
from cascade_operator.cli.cluster import edits, status, top
from cascade_operator.cli.command_line import command_line

TRAIN = "Train"
LOOK = "Look at results"
DATA = "Traces"
CLUSTER = "On a cluster"
DEVELOP = "Develop and operate"

app = command_line(
    "cascade",
    about="""Train cascades of LLM agents on human-validated traces.

    A session is one YAML file: it names the agents (nodes), their traces and the models. A run
    proposes other prompts for each node (candidates), tries combinations of them for every subset
    of the nodes (node groups), and leaves archives with the best programs it found.

    Start here: `cascade init`, `cascade plan`, `cascade run`, `cascade archive ls`. Runs write
    below `.cascade/` only. The same session is what `kubectl apply` takes in a cluster.
    """,
    epilog=(
        "Exit codes: 0 done, 2 wrong command line, 64 the session is invalid, 65 the data is, "
        "69 a service is unavailable, 73 an archive cannot be written, 143 stopped with a "
        "checkpoint (the same command resumes)."
    ),
)

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
