"""Files of the repository that are made from its code: written, or compared."""

from __future__ import annotations

from pathlib import Path

import typer

from cascade_operator.api.errors import CascadeError
from cascade_operator.api.exit_codes import ExitCode
from cascade_operator.cli.console import say


def compare(file: Path, text: str, source: str) -> None:
    """Says whether a file is up to date.

    Args:
        file: The file.
        text: What it should hold.
        source: What it is made from, for a reader.

    Raises:
        typer.Exit: With 1, where it is missing or differs.
    """
    current = _read(file)
    if current != text:
        state = "is missing" if current is None else f"differs from {source}"
        say(f"{file} {state}; mend it with: make generate", err=True)
        raise typer.Exit(1)
    say(f"{file} is up to date")


def write(file: Path, text: str, mend: str) -> None:
    """Writes a file and says whether that changed it.

    Args:
        file: The file; its folder is made.
        text: What it shall hold.
        mend: What to do where it cannot be written.

    Raises:
        CascadeError: It cannot be written.
    """
    unchanged = _read(file) == text
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CascadeError(
            f"{file} cannot be written: {error.strerror}", mend=mend, code=ExitCode.ARCHIVE_WRITE
        ) from error
    say(f"{file} {'unchanged' if unchanged else 'written'}")


def _read(file: Path) -> str | None:
    return file.read_text(encoding="utf-8") if file.is_file() else None
