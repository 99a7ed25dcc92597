"""The table of figures in docs/benchmarks.md; the text around it is written by hand."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.figure import Figure

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def write_table(figures: Sequence[Figure]) -> None:
    """Replaces the table between the page's two marks."""
    page = PAGE.read_text("utf-8")
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(f"{head}{BEGIN}\n{_table(figures)}\n{END}{tail}", "utf-8")


def _table(figures: Sequence[Figure]) -> str:
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    rows = [
        f"| {figure.name} | {figure.value:.3g} | {figure.verdict} | `{figure.command}` |"
        for figure in figures
    ]
    return "\n".join(
        [
            f"Measured on {datetime.now(UTC):%Y-%m-%d}: {machine}.",
            "",
            "| figure | value | goal | measured again by |",
            "|---|---|---|---|",
            *rows,
        ]
    )
