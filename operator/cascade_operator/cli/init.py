"""``cascade init``: writes a first session."""

# ruff: noqa: PLC0415 - heavy modules load only when their command runs

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from cascade_operator.cli.console import say
from cascade_operator.cli.options import DEFAULT_SESSION


def init(
    file: Annotated[Path, typer.Argument(help="Where to write it; it must not exist.")] = (
        DEFAULT_SESSION
    ),
) -> None:
    """Write a first session that runs as it is, with comments on what to change.

    Writes that one file and nothing else.

    Example: `cascade init session.yaml`
    """
    from cascade_operator.cli.starter import STARTER

    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(STARTER.format(file=file, name=_name(file)))
    except FileExistsError as error:
        raise typer.BadParameter(
            f"{file} is there already and is left as it is; name another file", param_hint="file"
        ) from error
    except OSError as error:
        raise typer.BadParameter(
            f"{file} cannot be written: {error.strerror or error}", param_hint="file"
        ) from error
    say(f"{file} written: four agents, ten real requests, a model that comes with the package")
    say(f"next: cascade plan {file}   what a run takes\n      cascade run {file}    train")


def _name(file: Path) -> str:
    """The session's name after its file: lower case letters, digits and dashes."""
    words = re.sub(r"[^a-z0-9]+", "-", file.stem.lower()).strip("-")[:40].strip("-")
    return words if words and words != "session" else "quickstart"
