"""What a reader may do after a run: the commands, ready to copy. Pure."""

from __future__ import annotations

import shlex
from pathlib import Path

from cascade_operator.cli.view import RunView


def next_steps(view: RunView, state: Path) -> tuple[str, ...]:
    """Returns lines for under a run's summary.

    Args:
        view: The last look at the run; its archives stand with their paths on this machine.
        state: The state folder, as the user named it.
    """
    if view.phase == "Failed" and view.session_id:
        return (f"logs: {state / 'runs' / view.session_id / 'logs'}",)
    if view.phase != "Complete" or view.best is None:
        return ()
    size = view.best.key.count("_") + 1
    file = next((one.path for one in view.archives if one.group_size == size), None)
    if file is None:
        return ()
    shown = shlex.quote(_from_here(file))
    return (f"next: cascade archive program {shown} > program.json   the best program",)


def _from_here(file: str) -> str:
    """A path below the folder the user is in, without that folder."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
