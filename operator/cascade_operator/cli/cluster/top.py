"""``cascade top``: all sessions of a namespace, or of the cluster, in one table."""

# ruff: noqa: PLC0415 - heavy modules load only when their command runs

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cascade_operator.cli.cluster.connection import (
    ContextOption,
    KubeconfigOption,
    NamespaceOption,
    Target,
    on_cluster,
)
from cascade_operator.cli.console import clean, is_interactive, output_console, say, show

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cascade_operator.control.kube.api import KubeApi


def top(
    namespace: NamespaceOption = None,
    every: Annotated[
        bool, typer.Option("--all-namespaces", "-A", help="Sessions of all namespaces.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Go on until Ctrl-C: read anew, shown anew.")
    ] = False,
    interval: Annotated[
        float, typer.Option("--interval", min=1.0, max=3600.0, help="Seconds between two reads.")
    ] = 5.0,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Show all sessions, the most active first: groups, time left, calls, memory.

    Example: `cascade top --all-namespaces --watch`
    """
    target = Target(kubeconfig, context, namespace)
    on_cluster(target, lambda api: _top(api, target, every=every, interval=interval * watch))


async def _top(api: KubeApi, target: Target, *, every: bool, interval: float) -> None:
    namespace = None if every else target.namespace_of(api)
    if not interval:
        found = await _table(api, namespace)
        if found is None:
            where = "on the cluster" if every else f"in the namespace {namespace}"
            say(f"there are no sessions {where}", err=True)
        else:
            show(found)
        return
    await _watch(api, namespace, interval)


async def _watch(api: KubeApi, namespace: str | None, interval: float) -> None:
    import asyncio

    from rich.live import Live
    from rich.text import Text

    from cascade_operator.control.kube.errors import BusyError, UnreachableError

    redraws = is_interactive()
    live = Live(Text("reading ..."), console=output_console(), transient=True, auto_refresh=False)
    if redraws:
        live.start()
    try:
        while True:
            shown: RenderableType
            try:
                shown = await _table(api, namespace) or Text("there are no sessions")
            except (UnreachableError, BusyError) as error:
                shown = Text(clean(f"trying again: {error}"), style="yellow")
            if redraws:
                live.update(shown, refresh=True)
            else:
                show(shown)
            await asyncio.sleep(interval)
    finally:
        if redraws:
            live.stop()


async def _table(api: KubeApi, namespace: str | None) -> RenderableType | None:
    from datetime import UTC, datetime

    from cascade_operator.cli.cluster.sessions import list_sessions
    from cascade_operator.cli.cluster.top_rows import render_top, top_rows

    rows = top_rows(await list_sessions(api, namespace))
    if not rows:
        return None
    width = output_console().width
    return render_top(rows, datetime.now(UTC), namespaces=namespace is None, width=width)
