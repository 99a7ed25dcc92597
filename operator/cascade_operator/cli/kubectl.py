"""Entry point of ``kubectl cascade``: the commands for a cluster, and no others.

kubectl runs a program named ``kubectl-cascade`` that it finds on the PATH.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

from cascade_operator.cli.cluster import edits, status, top
from cascade_operator.cli.command_line import command_line

LOOK = "Look"
CHANGE = "Change"
PROGRAM = "kubectl cascade"

app = command_line(
    PROGRAM,
    about="""Look at TrainingSessions on a cluster, and steer them.

    A session is applied like any other object: `kubectl apply -f session.yaml`. Then
    `kubectl cascade status NAME -w` shows how far it is, `kubectl cascade top -A` what all of them
    do. Context and namespace are kubectl's: the kubeconfig's current ones, unless named.
    """,
    epilog=(
        "Exit codes: 0 done, 1 the watched run failed, 2 wrong command line, 64 no such session, "
        "an invalid one, or no kubeconfig, 69 the cluster refuses or does not answer, "
        "130 interrupted."
    ),
)


def _add(name: str, command: Callable[..., None], panel: str) -> None:
    """Adds a command whose help names it as it is called here."""
    words = inspect.cleandoc(command.__doc__ or "").replace("`cascade ", f"`{PROGRAM} ")
    app.command(name, help=words, rich_help_panel=panel)(command)


_add("status", status.status, LOOK)
_add("top", top.top, LOOK)
_add("retrain", edits.retrain, CHANGE)
_add("suspend", edits.suspend, CHANGE)
_add("resume", edits.resume, CHANGE)


def main() -> None:
    """Runs the command line; ends the process with a documented exit code."""
    app(prog_name=PROGRAM)


if __name__ == "__main__":
    main()
