"""Runs benchmarks: ``python -m bench [NAME ...]``; without names all of them.

All of them together write bench/results.json and the table in docs/benchmarks.md.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import traceback
from pathlib import Path

from bench.figure import Figure
from bench.page import PAGE, write_table

BENCHMARKS = (
    "trace_store",
    "archive_run",
    "embedding",
    "model_calls",
    "own_overhead",
    "worker_start",
    "server_busy",
)
RESULTS = Path(__file__).with_name("results.json")


def main(chosen: list[str]) -> None:
    unknown = [name for name in chosen if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    figures: list[Figure] = []
    failed: list[str] = []
    for name in chosen or BENCHMARKS:
        print(f"{name} ...", flush=True)
        begin = time.monotonic()
        try:
            found = importlib.import_module(f"bench.{name}").measure()
        except Exception:  # noqa: BLE001 - the others' figures must not be lost
            traceback.print_exc()
            failed.append(name)
            continue
        for figure in found:
            figures.append(figure)
            print(f"  {figure.name}: {figure.value:.3g} ({figure.verdict})")
        print(f"  after {time.monotonic() - begin:.0f} s", flush=True)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")
    if not chosen:
        RESULTS.write_text(json.dumps([f.row() for f in figures], indent=2) + "\n", "utf-8")
        write_table(figures)
        print(f"written: {RESULTS.relative_to(Path.cwd())}, {PAGE.relative_to(Path.cwd())}")


if __name__ == "__main__":
    main(sys.argv[1:])
