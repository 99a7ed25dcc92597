"""``cascade retrain``, ``suspend`` and ``resume``: one field of a session, by a merge patch."""

# ruff: noqa: PLC0415 - heavy modules load only when their command runs

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cascade_operator.cli.cluster.connection import (
    ContextOption,
    KubeconfigOption,
    NamespaceOption,
    Target,
    on_cluster,
)
from cascade_operator.cli.cluster.status import NameArgument
from cascade_operator.cli.console import hint, say

if TYPE_CHECKING:
    from cascade_operator.control.kube.api import KubeApi


def retrain(
    ctx: typer.Context,
    name: NameArgument,
    namespace: NamespaceOption = None,
    reason: Annotated[
        str, typer.Option("--reason", help="Why, for whoever reads the session later.")
    ] = "",
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Ask for a new run of a session that has not changed.

    Sets the annotation `cascade-operator.dev/retrain` to the time and the reason. A run that is
    under way is replaced; the new one starts warm from what is archived.

    Example: `cascade retrain triage --namespace team --reason "new traces"`
    """
    from datetime import UTC, datetime

    from cascade_operator.control.manifests.labels import RETRAIN_ANNOTATION

    stamp = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    value = f"{stamp} {reason}".strip()
    target = Target(kubeconfig, context, namespace)
    change = {"metadata": {"annotations": {RETRAIN_ANNOTATION: value}}}
    where, raw = on_cluster(target, lambda api: _patch(api, target, name, change))
    if raw.get("spec", {}).get("suspend") is True:
        say(f"{name}: a run was asked for; it starts once the session is resumed")
    else:
        say(f"{name}: a run was asked for")
    hint(f"watch it: {_program(ctx)} status {name} -n {where} -w")


def suspend(
    name: NameArgument,
    namespace: NamespaceOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Suspend a session: its Jobs save and leave, an archive keeps what they found.

    Where Git owns the session, commit `spec.suspend: true` instead: the next sync may undo this,
    and the command says so.

    Example: `cascade suspend triage --namespace team`
    """
    _set_suspend(
        name,
        Target(kubeconfig, context, namespace),
        on=True,
        done="suspended; its Jobs save and leave",
    )


def resume(
    ctx: typer.Context,
    name: NameArgument,
    namespace: NamespaceOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Resume a suspended session: the same attempts go on from their checkpoints.

    Example: `cascade resume triage --namespace team`
    """
    where = _set_suspend(name, Target(kubeconfig, context, namespace), on=False, done="resumed")
    hint(f"watch it: {_program(ctx)} status {name} -n {where} -w")


def _set_suspend(name: str, target: Target, *, on: bool, done: str) -> str:
    from cascade_operator.cli.cluster.git_owner import suspension_note

    change = {"spec": {"suspend": on}}
    where, raw = on_cluster(target, lambda api: _patch(api, target, name, change))
    say(f"{name}: {done}")
    if note := suspension_note(raw, on=on):
        say(note, err=True)
    return where


async def _patch(
    api: KubeApi, target: Target, name: str, change: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    from cascade_operator.cli.cluster.sessions import patch_session

    namespace = target.namespace_of(api)
    return namespace, await patch_session(api, namespace, name, change)


def _program(ctx: typer.Context) -> str:
    return str(ctx.find_root().info_name or "cascade")
