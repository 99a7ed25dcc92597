"""bench/results.json: the last value of each figure, with the day and the machine."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.figure import Figure

RESULTS = Path(__file__).with_name("results.json")


@dataclass(frozen=True, slots=True)
class Row:
    """A figure, the day on which it was measured, and the machine in words."""

    figure: Figure
    day: str
    machine: str


def rows_of_today(figures: Iterable[Figure]) -> list[Row]:
    """The rows of what was measured on this machine just now."""
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    return [Row(figure, f"{datetime.now(UTC):%Y-%m-%d}", machine) for figure in figures]


def merge(kept: Sequence[Row], measured: Sequence[Row], commands: Sequence[str]) -> list[Row]:
    """What was measured takes the place of all rows of its commands; in the commands' order."""
    anew = {row.figure.command for row in measured}
    rows = [row for row in kept if row.figure.command not in anew] + list(measured)
    known = [row for row in rows if row.figure.command in commands]
    return sorted(known, key=lambda row: commands.index(row.figure.command))


def read_rows() -> list[Row]:
    """The rows of the file."""
    return [_row(found) for found in json.loads(RESULTS.read_text("utf-8"))]


def write_rows(rows: Iterable[Row]) -> None:
    """Replaces the file."""
    RESULTS.write_text(json.dumps([_plain(row) for row in rows], indent=2) + "\n", "utf-8")


def _row(found: dict[str, Any]) -> Row:
    figure = Figure(
        found["name"], found["value"], found["goal"], found["atLeast"], found["command"]
    )
    return Row(figure, found["day"], found["machine"])


def _plain(row: Row) -> dict[str, Any]:
    figure = row.figure
    return {
        "name": figure.name,
        "value": round(figure.value, 3),
        "goal": figure.goal,
        "atLeast": figure.at_least,
        "reached": figure.reached,
        "command": figure.command,
        "day": row.day,
        "machine": row.machine,
    }
