"""The table of figures in docs/benchmarks.md; the text around it is written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.results import Row

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def write_table(rows: Sequence[Row]) -> None:
    """Replaces the table between the page's two marks."""
    page = PAGE.read_text("utf-8")
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(f"{head}{BEGIN}\n{_table(rows)}\n{END}{tail}", "utf-8")


def _table(rows: Sequence[Row]) -> str:
    lines = [
        f"| {row.figure.name} | {row.figure.value:.3g} | {row.figure.verdict} "
        f"| `{row.figure.command}` | {row.day} |"
        for row in rows
    ]
    machines = sorted({row.machine for row in rows})
    return "\n".join(
        [
            f"Measured with {'; '.join(machines)}.",
            "",
            "| figure | value | goal | measured again by | last on |",
            "|---|---|---|---|---|",
            *lines,
        ]
    )
