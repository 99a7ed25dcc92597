"""Where the commands print: plain text off a terminal, and no control characters from data."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Callable
from typing import Any

import typer
from rich.console import Console, RenderableType

_OUTPUT, _ERRORS = 1, 2
PLAIN_WIDTH = 120
"""Columns of a table that goes to a file or a pipe; a terminal has its own width."""


def clean(text: str) -> str:
    """Replaces control characters by visible escapes.

    Session names, trace fields and model answers come from files and servers: printed raw, an
    escape sequence in them would drive the reader's terminal.
    """
    return "".join(
        char
        if char in "\n\t" or unicodedata.category(char) not in {"Cc", "Cf", "Cs"}
        else char.encode("unicode_escape", "surrogatepass").decode()
        for char in text
    )


def output_console(*, err: bool = False) -> Console:
    """Returns a console on standard output or standard error.

    Colour and cursor movement only on a terminal; ``NO_COLOR`` is honoured. Made anew each time,
    because the streams may be replaced between two commands.
    """
    stream = sys.stderr if err else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else PLAIN_WIDTH
    return Console(file=stream, width=width, markup=False, highlight=False, emoji=False)


def is_interactive() -> bool:
    """Whether standard output is a terminal that can redraw a live view."""
    return output_console().is_terminal and os.environ.get("TERM", "") not in {"", "dumb"}


def say(text: str, *, err: bool = False) -> None:
    """Prints text as it is, without colour; control characters in it become visible."""
    typer.echo(clean(text), err=err)


def hint(text: str) -> None:
    """Tells a person at a terminal what may come next; a pipe or a log gets nothing of it."""
    if is_interactive():
        say(text, err=True)


def show(renderable: RenderableType, *, err: bool = False) -> None:
    """Prints a table or another renderable; a line that asks for it may pass the right edge."""
    output_console(err=err).print(renderable, crop=False)


def lasting(show: Callable[[], None]) -> None:
    """Prints something, or nothing where its stream takes no more: then that ends in nothing.

    Args:
        show: Prints. Called up to three times: with standard output gone, then standard error.
    """
    for descriptor in (_OUTPUT, _ERRORS):
        try:
            show()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
        else:
            return
    show()


def say_json(value: Any, *, indent: int | None = None) -> None:
    """Prints one JSON document; non-ASCII is escaped, so that no control character gets out."""
    typer.echo(json.dumps(value, indent=indent, ensure_ascii=True, allow_nan=False))
