"""The parts a report's page is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture and its words.

    Attributes:
        name: Unique in the page.
        title: What it shows.
        description: What it says, for who does not see it.
        draw: Draws it.
    """

    name: str
    title: str
    description: str
    draw: Callable[[], Figure]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts.

    Attributes:
        caption: What it holds.
        head: Names of its columns.
        rows: Its cells; the first of each row is its heading.
        texts: Columns that hold words; the others hold numbers.
        open: Whether it is shown at once, not behind a summary.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: frozenset[int] = frozenset({0})
    open: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A section: its words, its picture and the picture's data as a table.

    Attributes:
        name: Its anchor.
        title: Its heading.
        lead: Paragraphs; the first says what was found.
        picture: Its picture, where there is one.
        tables: Its tables.
        notes: Small print: how the figures were made.
    """

    name: str
    title: str
    lead: tuple[str, ...] = ()
    picture: Picture | None = None
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
