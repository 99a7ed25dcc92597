"""Shows a running session: redrawn on a terminal, as lines elsewhere, as JSON for programs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from rich.console import RenderableType
from rich.live import Live
from rich.text import Text

from cascade_operator.cli.console import lasting, output_console, say, say_json
from cascade_operator.cli.events import changes, heartbeat
from cascade_operator.cli.live import render_view
from cascade_operator.cli.plain import change_lines, heartbeat_line
from cascade_operator.cli.view import RunView

HEARTBEAT_SECONDS = 30.0


class ProgressView(Protocol):
    """Takes each look at a session as it comes."""

    def start(self) -> None:
        """Begins to show."""

    def update(self, view: RunView) -> None:
        """Shows this look."""

    def tick(self, view: RunView) -> None:
        """Takes the last look again with the time gone on, about once a second."""

    def stopping(self) -> None:
        """Says that a stop was asked for."""

    def stop(self) -> None:
        """Leaves the terminal as it was."""


class LiveView:
    """A table that is redrawn in place."""

    def __init__(self) -> None:
        self._console = output_console()
        self._view: RunView | None = None
        self._stopping = False
        self._live: Live | None = None

    def start(self) -> None:
        """Begins to redraw, four times a second."""
        self._live = Live(
            get_renderable=self._render,
            console=self._console,
            refresh_per_second=4,
            transient=True,
            vertical_overflow="crop",
        )
        self._live.start()

    def update(self, view: RunView) -> None:
        """The next redraw shows this look."""
        self._view = view

    def tick(self, view: RunView) -> None:
        """The next redraw shows the time gone on."""
        self._view = view

    def stopping(self) -> None:
        """The next redraw says that checkpoints are being saved."""
        self._stopping = True

    def stop(self) -> None:
        """Wipes the table; the summary takes its place."""
        if self._live is not None:
            self._live.stop()

    def _render(self) -> RenderableType:
        if self._view is None:
            return Text("starting ...")
        size = self._console.size
        return render_view(
            self._view, width=size.width, height=size.height, stopping=self._stopping
        )


class LastingView:
    """A view whose reader may go away: a closed terminal, a pipe's end, a full disk.

    Training goes on then, unseen. What no longer takes text is replaced by nothing, standard
    output first, so that neither this view nor the summary after it fails.
    """

    def __init__(self, inner: ProgressView) -> None:
        self._inner = inner

    def start(self) -> None:
        """See ProgressView."""
        lasting(self._inner.start)

    def update(self, view: RunView) -> None:
        """See ProgressView."""
        lasting(lambda: self._inner.update(view))

    def tick(self, view: RunView) -> None:
        """See ProgressView."""
        lasting(lambda: self._inner.tick(view))

    def stopping(self) -> None:
        """See ProgressView."""
        lasting(self._inner.stopping)

    def stop(self) -> None:
        """See ProgressView."""
        lasting(self._inner.stop)


class LineView:
    """One line an event, and a heartbeat when nothing was said for a while."""

    def __init__(
        self, *, as_json: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._as_json = as_json
        self._clock = clock
        self._view: RunView | None = None
        self._last_heartbeat = clock()

    def start(self) -> None:
        """Says at once that something happens; servers take a moment to start."""
        if not self._as_json:
            say("starting ...")

    def update(self, view: RunView) -> None:
        """Prints what happened since the last look."""
        if self._as_json:
            for event in changes(self._view, view):
                say_json(event.to_json(view.elapsed))
        else:
            for line in change_lines(self._view, view):
                say(line)
        self._view = view

    def tick(self, view: RunView) -> None:
        """Prints the figures so far, every half minute."""
        if self._clock() - self._last_heartbeat < HEARTBEAT_SECONDS:
            return
        self._last_heartbeat = self._clock()
        if self._as_json:
            say_json(heartbeat(view).to_json(view.elapsed))
        else:
            say(heartbeat_line(view))

    def stopping(self) -> None:
        """Says once that a stop was asked for; on standard error, where it breaks no JSON."""
        say("stopping: checkpoints are being saved; Ctrl-C again ends at once", err=True)

    def stop(self) -> None:
        """Nothing to put back."""
