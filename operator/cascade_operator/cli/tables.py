"""The one look of tables: no frame, so that they read well in a log and survive a copy."""

from __future__ import annotations

from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from cascade_operator.cli.console import clean

Justify = Literal["left", "right"]


def plain_table(*columns: str, right: tuple[str, ...] = (), title: str | None = None) -> Table:
    """Returns an empty table; the columns named in ``right`` hold figures, which never wrap."""
    table = Table(
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        title=title,
        title_justify="left",
    )
    for column in columns:
        justify: Justify = "right" if column in right else "left"
        table.add_column(column, justify=justify, overflow="fold", no_wrap=column in right)
    return table


def cell(text: str, style: str = "") -> Text:
    """A table cell from data: no markup is read from it, control characters become visible."""
    return Text(clean(text), style=style)
