"""A session watched to its end: redrawn on a terminal, as lines or JSON elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from rich.console import RenderableType
from rich.live import Live
from rich.text import Text

from cascade_operator.api.exit_codes import ExitCode
from cascade_operator.cli.cluster.connection import Target
from cascade_operator.cli.cluster.page_view import render_watched
from cascade_operator.cli.cluster.session_page import SessionPage, page_of
from cascade_operator.cli.cluster.sessions import Seen, watch_session
from cascade_operator.cli.cluster.status import show_page
from cascade_operator.cli.console import is_interactive, output_console, say
from cascade_operator.cli.progress_view import LineView

if TYPE_CHECKING:
    from cascade_operator.control.kube.api import KubeApi

RUN_FAILED: Final = 1
"""How watching ends where the run failed, or the session was deleted."""
TICK_SECONDS: Final = 1.0


class PageView:
    """Takes each look at a session as it comes, and the time gone on every second."""

    def start(self) -> None:
        """Begins to show."""

    def update(self, page: SessionPage) -> None:
        """Shows this look."""

    def tick(self, page: SessionPage) -> None:
        """Takes the last look again with the time gone on."""

    def stop(self) -> None:
        """Leaves the terminal as it was."""


class LivePage(PageView):
    """A page that is redrawn in place."""

    def __init__(self) -> None:
        self._console = output_console()
        self._page: SessionPage | None = None
        self._live = Live(
            get_renderable=self._render,
            console=self._console,
            refresh_per_second=2,
            transient=True,
            vertical_overflow="crop",
        )

    def start(self) -> None:
        """Begins to redraw."""
        self._live.start()

    def update(self, page: SessionPage) -> None:
        """The next redraw shows this look."""
        self._page = page

    def tick(self, page: SessionPage) -> None:
        """The next redraw shows the time gone on."""
        self._page = page

    def stop(self) -> None:
        """Wipes the page; what follows takes its place."""
        self._live.stop()

    def _render(self) -> RenderableType:
        if self._page is None:
            return Text("reading ...")
        size = self._console.size
        return render_watched(self._page, width=size.width, height=size.height)


class LinePage(PageView):
    """One line a transition, as the local commands print them; the reason where it changes."""

    def __init__(self, *, as_json: bool) -> None:
        self._lines = LineView(as_json=as_json)
        self._as_json = as_json
        self._reason = ""

    def update(self, page: SessionPage) -> None:
        """Prints what happened since the last look."""
        if page.reason != self._reason and page.trouble and not self._as_json:
            self._reason = page.reason
            message = page.view.message
            say(f"{page.reason}: {message}" if message else page.reason)
        elif not page.trouble:
            self._reason = ""
        self._lines.update(page.view)

    def tick(self, page: SessionPage) -> None:
        """Prints the figures so far, every half minute."""
        self._lines.tick(page.view)


async def watch_to_its_end(api: KubeApi, target: Target, name: str, *, as_json: bool) -> int:
    """Watches a session until it ends.

    Returns:
        The command's exit code.

    Raises:
        ClusterError: The cluster refuses.
        SpecError: There is no such session, or its status cannot be read.
    """
    live = is_interactive() and not as_json
    view = LivePage() if live else LinePage(as_json=as_json)
    latest: list[Seen] = []
    ticking = asyncio.ensure_future(_tick(view, latest))
    view.start()
    try:
        code = await _follow(api, target.namespace_of(api), name, view, latest)
    finally:
        ticking.cancel()
        with suppress(asyncio.CancelledError):
            await ticking
        view.stop()
    if live and latest[-1].kind == "session":
        await show_page(api, latest[-1].raw)
    return code


async def _follow(
    api: KubeApi, namespace: str, name: str, view: PageView, latest: list[Seen]
) -> int:
    async for seen in watch_session(api, namespace, name):
        latest[:] = [seen]
        if seen.kind == "deleted":
            say(f"the session {name} was deleted", err=True)
            return RUN_FAILED
        page = _page(seen)
        view.update(page)
        if page.invalid:
            return int(ExitCode.SPEC)
        if page.ended:
            return int(ExitCode.OK) if page.view.phase == "Complete" else RUN_FAILED
    raise AssertionError("a watch ends with the session")


async def _tick(view: PageView, latest: list[Seen]) -> None:
    while True:
        await asyncio.sleep(TICK_SECONDS)
        if latest and latest[0].kind != "deleted":
            view.tick(_page(latest[0]))


def _page(seen: Seen) -> SessionPage:
    raw: Mapping[str, Any] = seen.raw
    page = page_of(raw, datetime.now(UTC))
    if seen.kind != "lost":
        return page
    notes = (*page.view.notes, f"the connection is lost, trying again: {seen.message}")
    return replace(page, current=False, view=replace(page.view, notes=notes))
