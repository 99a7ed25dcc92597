"""`python -m reference [--check]`: writes the generated pages, or says which are out of date."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import typer

from cascade_operator.cli.generated import compare, write
from reference.api_page import api_page
from reference.cli_page import cli_page
from reference.metrics_page import metrics_page

FOLDER: Final = Path("docs/reference")
PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "api.md": api_page,
    "cli.md": cli_page,
    "metrics.md": metrics_page,
}


def main(arguments: list[str]) -> int:
    """Writes or compares every page; returns the exit code."""
    if arguments not in ([], ["--check"]):
        typer.echo("usage: python -m reference [--check]", err=True)
        return 2
    stale = 0
    for name, page in PAGES.items():
        file = FOLDER / name
        try:
            if arguments:
                compare(file, page(), "the code")
            else:
                write(file, page(), "make the folder writable")
        except typer.Exit as ended:
            stale = max(stale, ended.exit_code)
    return stale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
