"""Whether an installation works (89): asked from a pod of the cluster, as ``helm test`` does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import aiohttp

from cascade_operator.api.errors import ServiceUnavailable
from cascade_operator.control.kube.api import KubeApi
from cascade_operator.control.kube.port import ClusterError
from cascade_operator.control.manifests.labels import API_VERSION, KIND
from cascade_operator.control.runtime.discovery import require_sessions

_PAUSE_SECONDS: Final = 1.0
_ANSWER_SECONDS: Final = 5.0
_MOST_SHOWN: Final = 300
_SESSION: Final[dict[str, Any]] = {
    "apiVersion": API_VERSION,
    "kind": KIND,
    "metadata": {"generateName": "installed-"},
    "spec": {"traces": {"import": "bfcl"}},
}


async def check_installation(
    api: KubeApi,
    operator: str,
    namespace: str,
    *,
    seconds: float = 60.0,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[str]:
    """Asks the operator and the API server; yields what was found, line by line.

    Args:
        api: The API server, as a user who may create sessions.
        operator: The address of the operator's probes, ``http://host:8081``.
        namespace: Where a session is offered. Nothing is made: it is a dry run.
        seconds: How long to wait for the operator.
        sleep: Waits so many seconds.

    Raises:
        CascadeError: It does not work; the message says what, the mend what to do.
    """
    await _ready(operator, seconds, sleep)
    yield f"the operator at {operator} is ready"
    await require_sessions(api, seconds=seconds)
    yield f"the API server serves {KIND}s of {API_VERSION}"
    await _offer(api, namespace)
    yield f"it takes a {KIND} in namespace {namespace} (a dry run)"


async def _ready(operator: str, seconds: float, sleep: Callable[[float], Awaitable[None]]) -> None:
    end, said = time.monotonic() + seconds, ""
    limit = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
    async with aiohttp.ClientSession(timeout=limit) as session:
        while True:
            try:
                async with session.get(f"{operator.rstrip('/')}/readyz") as answer:
                    if answer.ok:
                        return
                    said = (await answer.text())[:_MOST_SHOWN].strip()
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                said = str(error) or type(error).__name__
            if time.monotonic() >= end:
                raise ServiceUnavailable(
                    f"the operator at {operator} is not ready after {seconds:g} s: {said}",
                    mend="read its log: kubectl logs -l app.kubernetes.io/component=operator",
                )
            await sleep(_PAUSE_SECONDS)


async def _offer(api: KubeApi, namespace: str) -> None:
    path = f"/apis/{API_VERSION}/namespaces/{namespace}/trainingsessions"
    try:
        await api.request("POST", path, query={"dryRun": "All"}, body=_SESSION)
    except ClusterError as error:
        raise ServiceUnavailable(
            f"the API server does not take a {KIND}: {error}",
            mend="compare the CRD with this release (helm upgrade), and check the account's rights",
        ) from error
