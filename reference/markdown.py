"""Text as Markdown shows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def header(source: str) -> str:
    """The comment at the top of a generated page."""
    return f"<!-- Made by `make generate` from {source}. Do not edit. -->\n"


def code(text: str) -> str:
    """A text as code, also inside a table's cell."""
    fence = "``" if "`" in text else "`"
    pad = " " if fence == "``" else ""
    # Tables split a row at each bar, also within code, unless it is escaped.
    return f"{fence}{pad}{text}{pad}{fence}".replace("|", "\\|")


def prose(text: str) -> str:
    """A text in a cell: one line, nothing in it taken for a tag, a link or a column.

    What stands between backticks is left as it is.
    """
    parts = " ".join(text.split()).split("`")
    for at in range(0, len(parts), 2):
        for mark in ("\\", "*", "<", "[", "]"):
            parts[at] = parts[at].replace(mark, "\\" + mark)
    return "`".join(parts).replace("|", "\\|")


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are Markdown already."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
