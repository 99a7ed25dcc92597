"""What the command lines of ``cascade`` and ``kubectl cascade`` have in common."""

from __future__ import annotations

import inspect
from typing import Annotated

import typer

from cascade_operator.cli.boundary import CascadeGroup, set_debug
from cascade_operator.cli.console import say


def command_line(program: str, *, about: str, epilog: str) -> typer.Typer:
    """Makes a command line without commands: its help, ``--version`` and ``--debug``.

    Args:
        program: What is typed before a command.
        about: Its help, in Markdown.
        epilog: What stands below the commands: the exit codes.
    """
    app = typer.Typer(
        name=program,
        cls=CascadeGroup,
        rich_markup_mode="markdown",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog=epilog,
    )
    app.callback(help=inspect.cleandoc(about))(_options)
    return app


def _print_version(ctx: typer.Context, value: bool) -> None:
    if value:
        from importlib import metadata  # noqa: PLC0415 - slow, and needed here alone

        say(f"{ctx.info_name} {metadata.version('cascade-operator')}")
        raise typer.Exit


def _options(
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
    set_debug(ctx, debug=debug)
