"""``cascade status``: one session on a cluster, once or until it ends."""

# ruff: noqa: PLC0415 - heavy modules load only when their command runs

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cascade_operator.cli.cluster.connection import (
    ContextOption,
    KubeconfigOption,
    NamespaceOption,
    Target,
    on_cluster,
)
from cascade_operator.cli.console import output_console, say, say_json, show

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cascade_operator.control.kube.api import KubeApi

NameArgument = Annotated[str, typer.Argument(help="The session's name.", metavar="NAME")]


class Document(StrEnum):
    """For people, or for programs."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


def status(
    name: NameArgument,
    namespace: NamespaceOption = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Go on until the session ends, or Ctrl-C.")
    ] = False,
    output: Annotated[
        Document,
        typer.Option(
            "--output",
            "-o",
            help="`json` or `yaml`: the object; with `--watch`, `json`: an event a line.",
        ),
    ] = Document.TEXT,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Show a session on a cluster: how far it is, why it waits, what it found.

    With `--watch` it is redrawn on a terminal, and told line by line elsewhere. It ends when the
    session does: with 0 when it is complete, 1 when it failed or was deleted, 64 when its spec
    is invalid. What only waits, such as a suspended session, is watched on.

    Example: `cascade status triage --namespace team --watch`
    """
    target = Target(kubeconfig, context, namespace)
    if not watch:
        on_cluster(target, lambda api: _once(api, target, name, output))
        return
    if output is Document.YAML:
        raise typer.BadParameter("--watch prints text or json", param_hint="--output")
    from cascade_operator.cli.cluster.watching import watch_to_its_end

    code = on_cluster(
        target, lambda api: watch_to_its_end(api, target, name, as_json=output is Document.JSON)
    )
    raise typer.Exit(code)


async def _once(api: KubeApi, target: Target, name: str, output: Document) -> None:
    from cascade_operator.cli.cluster.sessions import get_session

    raw = await get_session(api, target.namespace_of(api), name)
    if output is Document.TEXT:
        await show_page(api, raw)
    elif output is Document.JSON:
        say_json(_document(raw), indent=2)
    else:
        import yaml

        # ASCII alone: what would drive a terminal is escaped by YAML itself.
        say(yaml.safe_dump(_document(raw), sort_keys=False, allow_unicode=False).rstrip())


async def show_page(api: KubeApi, raw: Mapping[str, Any]) -> None:
    """Prints all that is known of a session, with its events where they may be read."""
    from datetime import UTC, datetime

    from cascade_operator.cli.cluster.page_view import render_page
    from cascade_operator.cli.cluster.session_page import page_of
    from cascade_operator.cli.cluster.sessions import events_of
    from cascade_operator.control.kube.port import ClusterError

    events: list[Mapping[str, Any]] = []
    notes: tuple[str, ...] = ()
    try:
        events = await events_of(api, raw)
    except ClusterError as error:
        notes = (f"its events cannot be read: {error}",)
    now = datetime.now(UTC)
    page = page_of(raw, now, events=events, notes=notes)
    show(render_page(page, now, width=output_console().width))


def _document(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The object without its field managers, as kubectl prints one."""
    metadata = {key: value for key, value in raw["metadata"].items() if key != "managedFields"}
    return {**raw, "metadata": metadata}
