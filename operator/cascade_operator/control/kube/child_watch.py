"""The watch of Jobs or pods (80): it begins where the list ended, and no list is made twice.

kopf watches sessions. Of children there are a hundred times as many, and kopf takes a list of its
own and a task for each object and event: more time than everything else that is done with them.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NoReturn

from cascade_operator.control.kube.errors import GoneError
from cascade_operator.control.kube.fields import mapping, text
from cascade_operator.control.kube.listing import Lister, Resynced
from cascade_operator.control.kube.port import ClusterError
from cascade_operator.control.kube.resources import Resource
from cascade_operator.control.telemetry.repeats import Repeats

_LOG = logging.getLogger(__name__)

_BOOKMARK: Final = "BOOKMARK"
_FIRST_PAUSE: Final = 0.2
_MOST_PAUSE: Final = 5.0
_WELL_SECONDS: Final = 1.0

Told = Callable[[str, Mapping[str, Any]], None]
"""Is told of a change: ADDED, MODIFIED or DELETED, and the object."""


class ChildWatch:
    """Tells of the changes of one kind in one place, for as long as it runs."""

    def __init__(
        self,
        lister: Lister,
        resource: Resource,
        scope: str | None,
        *,
        told: Told,
        alive: Callable[[], None],
        listed_anew: Callable[[Resynced], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Watches nothing yet.

        Args:
            lister: Has listed the kind there once.
            resource: The kind.
            scope: A namespace; None for all.
            told: Is told of each change.
            alive: Is called where the server says that nothing has changed.
            listed_anew: Is told what a list found where the server has forgotten the watch's
                version: no event tells what was deleted meanwhile.
            clock: Monotonic, in seconds.
            sleep: Waits so many seconds of it.
        """
        self._lister, self._resource, self._scope = lister, resource, scope
        self._told, self._alive, self._listed_anew = told, alive, listed_anew
        self._clock, self._sleep = clock, sleep
        self._version = ""
        self._pause = _FIRST_PAUSE
        self._repeats = Repeats(clock)

    async def run(self) -> NoReturn:
        """Watches until cancelled; an API server that is away, or refuses, is asked again."""
        self._version = self._lister.version(self._resource, self._scope)
        while True:
            began = self._clock()
            try:
                await self._watch()
            except GoneError:
                await self._list_anew()
            except ClusterError as error:
                self._say(f"the watch of {self._resource.plural} ended: {error}")
            if self._clock() - began >= _WELL_SECONDS:
                self._pause = _FIRST_PAUSE
            # Spread: a server that comes back has all its clients at the same moment.
            await self._sleep(self._pause * random.uniform(0.5, 1.0))
            self._pause = min(2 * self._pause, _MOST_PAUSE)

    async def _watch(self) -> None:
        async for event in self._lister.watch(self._resource, self._scope, self._version):
            found = event["object"]
            if event["type"] == _BOOKMARK:
                self._alive()
            else:
                self._tell(event["type"], found)
            version = text(mapping(found.get("metadata")).get("resourceVersion"))
            self._version = version or self._version

    def _tell(self, kind: str, found: Mapping[str, Any]) -> None:
        try:
            self._told(kind, found)
        except Exception:  # noqa: BLE001 - one odd object must not end the watch of all others
            metadata = mapping(found.get("metadata"))
            place = f"{text(metadata.get('namespace'))}/{text(metadata.get('name'))}"
            _LOG.exception("an event of %s %s was not taken in", self._resource.plural, place)

    async def _list_anew(self) -> None:
        _LOG.info("the watch of %s is too old: listing anew", self._resource.plural)
        try:
            found = await self._lister.compare(self._resource, self._scope)
        except ClusterError as error:
            self._say(f"the list of {self._resource.plural} failed: {error}")
            return
        self._version = self._lister.version(self._resource, self._scope)
        self._listed_anew(found)

    def _say(self, words: str) -> None:
        if self._repeats.due(words):
            _LOG.warning("%s; watching again", words)
