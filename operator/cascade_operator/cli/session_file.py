"""Reads a session's file for the commands that take one."""

# ruff: noqa: PLC0415 - heavy modules load only when their command runs

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cascade_operator.api.errors import SpecError

if TYPE_CHECKING:
    from cascade_operator.api.session import TrainingSession

MAX_BYTES = 2**20


def read_session_text(file: Path) -> bytes:
    """Reads a session's file, at most 1 MiB.

    Raises:
        SpecError: It is not there, cannot be read, or is too large.
    """
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise SpecError(
            f"{file}: {error.strerror or error}",
            mend="name a session's file; `cascade init` writes a first one, session.yaml",
        ) from error
    if len(content) > MAX_BYTES:
        raise SpecError(f"{file}: larger than 1 MiB", mend="a session is a short YAML file")
    return content


def read_session(file: Path) -> TrainingSession:
    """Reads and validates a session.

    Raises:
        SpecError: It cannot be read, or it is invalid; ``problems`` lists why.
    """
    from cascade_operator.api.validate import load_session

    text = read_session_text(file)
    try:
        return load_session(text)
    except SpecError as error:
        error.add_note(str(file))  # which file it is about, for whoever prints it
        raise
