"""All figures of the operator, three times; the quiet ones once, in one long window."""

from __future__ import annotations

import os
import time

from bench.figure import Figure
from bench.operator.bed import Bed, started_bed
from bench.operator.creation import measure_creation
from bench.operator.leadership import measure_leadership
from bench.operator.lives import measure_lives
from bench.operator.quiet import measure_quiet
from bench.operator.ranges import figures_of

# Smaller numbers, to look at the measurement itself, by CASCADE_BENCH_SESSIONS and _RUNS.
SESSIONS = int(os.environ.get("CASCADE_BENCH_SESSIONS", "100"))
RUNS = int(os.environ.get("CASCADE_BENCH_RUNS", "3"))


def measure_all() -> list[Figure]:
    with started_bed() as bed:
        runs = [_run(bed, number) for number in range(1, RUNS + 1)]
        runs.append(measure_quiet(bed, finished=10 * SESSIONS, running=max(2, SESSIONS // 10)))
    return figures_of(runs)


def _run(bed: Bed, number: int) -> dict[str, float]:
    begin = time.monotonic()
    lives = measure_lives(bed, f"lives-{number}", sessions=max(10, SESSIONS * 3 // 10))
    print(f"    run {number}: lives after {time.monotonic() - begin:.0f} s", flush=True)
    team, bare = f"team-{number}", f"bare-{number}"
    with measure_creation(bed, team, bare, SESSIONS) as (created, crowd):
        print(f"    run {number}: Jobs after {time.monotonic() - begin:.0f} s", flush=True)
        led = measure_leadership(bed, crowd)
    print(f"    run {number}: after {time.monotonic() - begin:.0f} s", flush=True)
    return {**lives, **created, **led}
