"""Runs benchmarks: ``python -m bench [NAME ...]``; without names all of them.

With ``--write``, and where no name is given, their figures take the place of the former ones in
bench/results.json and in the table of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import traceback
from pathlib import Path

from bench.figure import Figure
from bench.page import PAGE, write_table
from bench.results import RESULTS, merge, read_rows, rows_of_today, write_rows

BENCHMARKS = (
    "trace_store",
    "archive_run",
    "embedding",
    "model_calls",
    "own_overhead",
    "worker_start",
    "server_busy",
    "operator",
)
COMMANDS = tuple(f"python -m bench {name}" for name in BENCHMARKS)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measures, and says which goals were reached."
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all by default"
    )
    parser.add_argument(
        "--write", action="store_true", help="write their figures down (all together always are)"
    )
    options = parser.parse_args()
    chosen: list[str] = options.names
    unknown = [name for name in chosen if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
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
    if options.write or not chosen:
        rows = merge(read_rows(), rows_of_today(figures), COMMANDS)
        write_rows(rows)
        write_table(rows)
        for written in (RESULTS, PAGE):
            print(f"written: {written.relative_to(Path.cwd())}")


if __name__ == "__main__":
    main()
