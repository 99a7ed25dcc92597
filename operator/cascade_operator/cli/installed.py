"""``cascade installed``: what ``helm test`` runs."""

# ruff: noqa: PLC0415 - named as its command; heavy modules load only when it runs

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cascade_operator.cli.console import say


def installed(
    operator: Annotated[
        str, typer.Option("--operator", help="The address of its probes: http://host:8081.")
    ],
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", help="Where a session is offered, as a dry run.")
    ] = "default",
    kubeconfig: Annotated[
        Path | None, typer.Option("--kubeconfig", help="By default the pod's service account.")
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", help="Seconds to wait for the operator.")
    ] = 60.0,
) -> None:
    """Ask whether an installation works: the operator is ready, the API takes a session.

    Example: `cascade installed --operator http://localhost:8081 -n ml`
    """
    import asyncio

    async def ask() -> None:
        from cascade_operator.control.kube.api import KubeApi
        from cascade_operator.control.runtime.installed import check_installation

        api = await KubeApi.connect(kubeconfig=None if kubeconfig is None else str(kubeconfig))
        try:
            async for line in check_installation(api, operator, namespace, seconds=timeout):
                say(line)
        finally:
            await api.close()

    asyncio.run(ask())
