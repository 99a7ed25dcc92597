"""Drives a session on this machine while a reader watches and may stop it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cascade_operator.cli.progress_view import ProgressView
from cascade_operator.cli.snapshot import outcome_view, view_of
from cascade_operator.cli.view import RunView

if TYPE_CHECKING:
    from cascade_operator.api.session import TrainingSession
    from cascade_operator.local.session_run import RunOutcome, RunSnapshot

SessionRunner = Callable[..., Coroutine[Any, Any, "RunOutcome"]]

ENDED_HARD = 130
"""What a shell reports for a process that SIGINT ended."""
TICK_SECONDS = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""SIGHUP is a terminal that was closed: whoever closes it expects the work to be saved."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended.

    Attributes:
        outcome: Status, exit code and archives.
        last: The last look at it.
        nothing_to_do: Whether the run was complete before this command began.
    """

    outcome: RunOutcome
    last: RunView
    nothing_to_do: bool


async def drive(
    run: SessionRunner,
    session: TrainingSession,
    *,
    base: Path,
    state: Path,
    view: ProgressView,
    retrain: bool,
) -> Ended:
    """Runs a session to its end, or to its checkpoints when a signal asks for that.

    Args:
        run: ``local.session_run.run_session``.
        session: The session.
        base: The folder its relative paths start from.
        state: The state folder.
        view: Takes each look at it, and a tick a second.
        retrain: Start a new run although nothing has changed.

    Raises:
        CascadeError: The run could not be begun or went wrong.
        asyncio.CancelledError: A second signal asked to end at once.
    """
    began = datetime.now(UTC)
    latest: list[RunSnapshot] = []
    stop = asyncio.Event()

    def update(snapshot: RunSnapshot) -> None:
        latest[:] = [snapshot]
        view.update(view_of(snapshot, session, datetime.now(UTC)))

    async def tick() -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if latest:
                view.tick(view_of(latest[0], session, datetime.now(UTC)))

    view.start()
    running = asyncio.ensure_future(
        run(session, base, state, on_update=update, stop=stop, retrain=retrain)
    )
    ticking = asyncio.ensure_future(tick())
    try:
        with _stopping_on_signals(running, stop, view):
            outcome = await running
    finally:
        ticking.cancel()
        view.stop()
    last = outcome_view(outcome, latest[-1:], session, datetime.now(UTC))
    completed = outcome.status.run.completion_time if outcome.status.run else None
    # Status keeps whole seconds, so a run that ends within the command's first one looks older.
    nothing_to_do = completed is not None and completed < began.replace(microsecond=0)
    return Ended(outcome, last, nothing_to_do)


@contextmanager
def _stopping_on_signals(
    running: asyncio.Future[RunOutcome], stop: asyncio.Event, view: ProgressView
) -> Iterator[None]:
    """First signal: checkpoint and stop. Second: cancel. Third: leave this very moment."""
    loop = asyncio.get_running_loop()
    asked = 0

    def on_signal() -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            stop.set()
            view.stopping()
        elif asked == 2:
            running.cancel()
        else:
            os._exit(ENDED_HARD)

    numbers = list(_SIGNALS)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        # `nohup`: a closed terminal is no reason to stop.
        numbers.remove(signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
