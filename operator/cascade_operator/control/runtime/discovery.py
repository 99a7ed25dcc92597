"""Whether the API server serves TrainingSessions (89)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from cascade_operator.api.errors import CascadeError, ServiceUnavailable
from cascade_operator.control.kube.api import KubeApi
from cascade_operator.control.kube.port import ClusterError, NotFoundError, RefusedError
from cascade_operator.control.manifests.labels import API_VERSION
from cascade_operator.control.runtime.logs import log

_STAGE: Final = 89
_RESOURCE: Final = "trainingsessions"
_START_SECONDS: Final = 120.0
_PAUSE_SECONDS: Final = 2.0

MEND: Final = "kubectl apply -f crds/ (or the chart with crds.enabled=true)"


class CrdMissingError(CascadeError):
    """The API server knows no TrainingSessions; the process ends with 1."""

    reason = "CrdMissing"

    def __init__(self) -> None:
        super().__init__(f"the API server does not serve {_RESOURCE}.{API_VERSION}", mend=MEND)


async def serves_sessions(api: KubeApi) -> bool:
    """Asks the API server's discovery.

    Raises:
        ClusterError: It gave no answer to that.
    """
    try:
        found = await api.request("GET", f"/apis/{API_VERSION}", seconds=10.0)
    except NotFoundError:
        return False
    resources = found.get("resources")
    if not isinstance(resources, list):
        return False
    return any(isinstance(one, dict) and one.get("name") == _RESOURCE for one in resources)


async def require_sessions(
    api: KubeApi,
    *,
    seconds: float = _START_SECONDS,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Waits for the API server to answer, and for so long only.

    Args:
        api: The API server.
        seconds: How long to wait for an answer.
        clock: Monotonic.
        sleep: Waits so many seconds of it.

    Raises:
        CrdMissingError: It answers, and serves no TrainingSessions.
        ServiceUnavailable: No answer came in time, or it lets nobody ask.
    """
    end = clock() + seconds
    said = ""
    while True:
        try:
            if await serves_sessions(api):
                return
        except RefusedError as error:
            raise ServiceUnavailable(
                f"the API server refuses discovery: {error}",
                mend="bind the service account to the ClusterRole system:discovery",
            ) from error
        except ClusterError as error:
            if clock() >= end:
                raise ServiceUnavailable(
                    f"no answer from the API server in {seconds:g} s: {error}",
                    mend="check its address (--kubeconfig, --context) and the network",
                ) from error
            if str(error) != said:
                said = str(error)
                log(_STAGE, f"waiting for the API server: {said}", level=logging.WARNING)
            await sleep(_PAUSE_SECONDS)
            continue
        raise CrdMissingError
