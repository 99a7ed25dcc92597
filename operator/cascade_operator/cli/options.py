"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Output(StrEnum):
    """For people, or for programs."""

    TEXT = "text"
    JSON = "json"


OutputOption = Annotated[
    Output, typer.Option("--output", "-o", help="`json` prints one JSON object a line.")
]
StateOption = Annotated[
    Path,
    typer.Option(
        "--state",
        help="Folder in which runs keep what they need and leave: archives, logs, status.",
    ),
]
DEFAULT_STATE = Path(".cascade")
DEFAULT_SESSION = Path("session.yaml")
"""What `cascade init` writes, and what the other commands read where no file is named."""
