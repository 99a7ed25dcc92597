"""The watches of Jobs and pods, told to a test's listener."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

from cascade_operator.control.kube.child_watch import ChildWatch
from cascade_operator.control.kube.listing import Lister, Resynced
from cascade_operator.control.kube.resources import JOBS, PODS


class ChildListener(Protocol):
    def job_event(self, kind: str, raw: Mapping[str, Any]) -> None: ...
    def pod_event(self, kind: str, raw: Mapping[str, Any]) -> None: ...


def ignore(found: Resynced | None = None) -> None:
    """Takes no note of a list, or of a sign of life."""


@asynccontextmanager
async def child_watches(
    lister: Lister,
    listener: ChildListener,
    *,
    alive: Callable[[], None] = ignore,
    listed_anew: Callable[[Resynced], None] = ignore,
) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Watches wherever a lister looks, while the block lasts."""
    tasks = [
        asyncio.create_task(
            ChildWatch(
                lister, resource, scope, told=told, alive=alive, listed_anew=listed_anew
            ).run()
        )
        for resource, told in ((JOBS, listener.job_event), (PODS, listener.pod_event))
        for scope in lister.scopes
    ]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
