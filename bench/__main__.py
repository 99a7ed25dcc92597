"""Runs every benchmark and writes bench/results.json: ``python -m bench [NAME ...]``."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from bench.figure import Figure

BENCHMARKS = ("trace_store", "archive_container")
RESULTS = Path(__file__).with_name("results.json")


def main(chosen: list[str]) -> None:
    unknown = [name for name in chosen if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    figures: list[Figure] = []
    for name in chosen or BENCHMARKS:
        for figure in importlib.import_module(f"bench.{name}").measure():
            figures.append(figure)
            mark = "reached" if figure.reached else "MISSED"
            bound = "at least" if figure.at_least else "at most"
            print(f"{figure.name}: {figure.value:.2f} ({bound} {figure.goal:g}: {mark})")
    if not chosen:
        RESULTS.write_text(json.dumps([f.row() for f in figures], indent=2) + "\n", "utf-8")
        print(f"written: {RESULTS.relative_to(Path.cwd())}")


if __name__ == "__main__":
    main(sys.argv[1:])
