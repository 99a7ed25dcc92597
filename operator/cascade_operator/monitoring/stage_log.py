"""Stage 62: every stage that runs is logged with its code, counted and timed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from cascade_operator.stages import stage

_LOG = logging.getLogger("cascade")


@dataclass(frozen=True, slots=True)
class StageFigures:
    """How often a stage ran in this process, how often it failed, and for how long (seconds)."""

    runs: int = 0
    failures: int = 0
    seconds: float = 0.0


class StageMetrics:
    """Counts and times by stage code; safe to use from several threads."""

    def __init__(self) -> None:
        self._figures: dict[int, StageFigures] = {}
        self._lock = threading.Lock()

    def add(self, code: int, seconds: float, *, failed: bool) -> None:
        """Records one run of a stage that took this many seconds."""
        with self._lock:
            old = self._figures.get(code, StageFigures())
            self._figures[code] = StageFigures(
                old.runs + 1, old.failures + failed, old.seconds + seconds
            )

    def snapshot(self) -> dict[int, StageFigures]:
        """Returns the figures so far, by stage code."""
        with self._lock:
            return dict(sorted(self._figures.items()))


STAGE_METRICS = StageMetrics()
"""The figures of this process. A worker is one Job, so they are that Job's."""


class StageWatcher(Protocol):
    """Told of each stage as it begins and ends; called from the stage's own thread."""

    def entered(self, code: int) -> None:
        """A stage began."""

    def left(self, code: int) -> None:
        """A stage ended."""


_WATCHERS: list[StageWatcher] = []


@contextmanager
def watching_stages(watcher: StageWatcher) -> Iterator[None]:
    """Tells a watcher of the stages that run meanwhile, save those of single batches."""
    _WATCHERS.append(watcher)
    try:
        yield
    finally:
        _WATCHERS.remove(watcher)


def log_stage(code: int, message: str, **fields: object) -> None:
    """Logs one line under a stage's code."""
    _LOG.info("%s: %s", stage(code).label, message, extra={"stage": code, "fields": fields})


def log_stage_figures() -> None:
    """Logs how often each stage ran in this process and how long it took: a Job's last line."""
    figures = STAGE_METRICS.snapshot()
    shown = ", ".join(
        f"{code:02d} {one.runs}x {one.seconds:.2f} s" for code, one in figures.items()
    )
    log_stage(62, shown or "no stage ran")


@contextmanager
def run_stage(code: int, *, level: int = logging.INFO, **fields: object) -> Iterator[None]:
    """Runs a block as one stage: logged at its start and its end, counted and timed.

    Args:
        code: The stage's code in the registry.
        level: Of both lines; stages that run for every batch are logged at DEBUG.
        **fields: What the stage works on, shown in the log line.

    Raises:
        KeyError: No stage has this code.
    """
    label = stage(code).label
    shown = " ".join(f"{key}={value}" for key, value in fields.items())
    extra = {"stage": code, "fields": fields}
    _LOG.log(level, "%s started%s", label, f" ({shown})" if shown else "", extra=extra)
    begin = time.perf_counter()
    watchers = tuple(_WATCHERS) if level >= logging.INFO else ()
    for watcher in watchers:
        watcher.entered(code)
    failed = True
    try:
        yield
        failed = False
    finally:
        seconds = time.perf_counter() - begin
        STAGE_METRICS.add(code, seconds, failed=failed)
        for watcher in watchers:
            watcher.left(code)
        outcome = "left early" if failed else "done"
        _LOG.log(
            level, "%s %s after %.2f s", label, outcome, seconds, extra=extra | {"seconds": seconds}
        )
