"""`docs/reference/cli.md`: every command with its arguments and options, from the commands."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from enum import Enum
from functools import cache
from typing import Any, Final, Literal, get_args, get_origin

import typer

from cascade_operator.cli import app, kubectl
from reference.markdown import code, header, prose, table

_INTRO: Final = """\
# Command line

`cascade` works on one machine and on a cluster. `kubectl cascade` is the part for a cluster alone:
the program `kubectl-cascade`, which `kubectl` finds on the `PATH`. `--help` of each command says
the same as this page.

Output is plain where it goes to no terminal, and `NO_COLOR` is honoured. The
[exit codes](../troubleshooting.md#exit-codes) are the same for all commands.
"""


@cache
def cli_page() -> str:
    """Returns the page."""
    parts = [header("cascade_operator/cli") + _INTRO]
    for name, tree in (("cascade", app.app), ("kubectl cascade", kubectl.app)):
        for path, command in commands(typer.main.get_command(tree), name):
            parts.append(_section(path, command))
    return "\n".join(parts)


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yields the visible commands below one, with what is typed for each."""
    inner = getattr(command, "commands", {})
    if not inner:
        yield path, command
        return
    names = command.list_commands(typer.Context(command))
    for name in names:
        if not inner[name].hidden:
            yield from commands(inner[name], f"{path} {name}")


def _section(path: str, command: Any) -> str:
    # A backspace on a line of its own is how help texts keep line breaks.
    help_text = inspect.cleandoc(command.help or "").replace("\b\n", "").replace("\f", "")
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and not one.hidden]
    typed = [path, *(_typed(one) for one in arguments), "[options]" if options else ""]
    anchor = path.replace(" ", "-")
    text = (
        f"## `{path}` {{ #{anchor} }}\n\n{help_text}\n\n```text\n{' '.join(typed).strip()}\n```\n"
    )
    if arguments:
        rows = [
            (code(one.metavar or one.name.upper()), prose(_help(one)), _default(one))
            for one in arguments
        ]
        text += "\n" + table(("argument", "meaning", "default"), rows)
    if options:
        text += "\n" + table(("option", "meaning", "default"), map(_option, options))
    return text


def _typed(argument: Any) -> str:
    name = (argument.metavar or argument.name).strip("[]{}").upper()
    name = f"{name}..." if argument.nargs == -1 and not name.endswith("...") else name
    return name if argument.required else f"[{name}]"


def _option(option: Any) -> Sequence[str]:
    names = ", ".join(code(one) for one in [*option.opts, *option.secondary_opts])
    words = prose(_help(option))
    if choices := _choices(option.type_descriptor.annotation):
        words += " One of " + ", ".join(map(code, choices)) + "."
    if option.multiple:
        words += " May be given again."
    if isinstance(option.envvar, str):
        words += f" Also {code(option.envvar)}."
    return names, words, _default(option)


def _choices(annotation: Any) -> tuple[str, ...]:
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return tuple(_value(one) for one in annotation)
    return tuple(get_args(annotation)) if get_origin(annotation) is Literal else ()


def _help(param: Any) -> str:
    return str(param.help or "")


def _value(value: Any) -> str:
    return str(getattr(value, "value", value))


def _default(param: Any) -> str:
    if param.required:
        return "**required**"
    value = param.default() if callable(param.default) else param.default
    if getattr(param, "is_flag", False):
        return "on" if value is True else ""
    return "" if value in (None, "", (), []) else code(_value(value))
