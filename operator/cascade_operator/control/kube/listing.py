"""Lists: whole objects at the start, metadata alone to see what the watches have missed (80)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cascade_operator.control.kube.api import KubeApi
from cascade_operator.control.kube.cache import DELETED, ObjectTable, WatchCache
from cascade_operator.control.kube.errors import GoneError
from cascade_operator.control.kube.fields import mapping, objects, text, version_of
from cascade_operator.control.kube.paging import list_pages
from cascade_operator.control.kube.port import ClusterError, NotFoundError, SessionKey
from cascade_operator.control.kube.resources import (
    CONFIG_MAPS,
    JOBS,
    JSON,
    METADATA,
    PODS,
    SESSIONS,
    Resource,
)
from cascade_operator.control.manifests.labels import SESSION_UID

_SECONDS: Final = 60.0
_TRIES: Final = 3
_WATCH_SECONDS: Final = 300.0
_SILENT_SECONDS: Final = 130.0
"""Two bookmarks, of which the server sends one a minute: what says less is broken."""

_Event = Callable[[str | None, Mapping[str, Any]], SessionKey | None]
_Drop = Callable[[str], SessionKey | None]


@dataclass(slots=True)
class Resynced:
    """What a resync found.

    Attributes:
        keys: Sessions that differ from what was known.
        pruned: How many objects were gone whose deletion no watch had told, by kind.
    """

    keys: set[SessionKey] = field(default_factory=set)
    pruned: dict[str, int] = field(default_factory=dict)

    def add(self, key: SessionKey | None) -> None:
        """Notes a session."""
        if key is not None:
            self.keys.add(key)


class Lister:
    """Fills a cache, and keeps it true where a watch has lost an event.

    Attributes:
        scopes: Where it looks: namespaces, or None alone for everywhere.
    """

    def __init__(self, api: KubeApi, cache: WatchCache, namespaces: Sequence[str] = ()) -> None:
        """Lists nothing yet.

        Args:
            api: The API server.
            cache: What is filled.
            namespaces: Where to look; empty for everywhere.
        """
        self._api = api
        self._cache = cache
        self.scopes: Sequence[str | None] = list(namespaces) or [None]
        self._versions: dict[str, str] = {}

    async def fill(self) -> None:
        """Lists everything once. No plan may be made before.

        Raises:
            ClusterError: The API server failed, or does not let us.
        """
        kinds = [self._fill_kind(kind) for kind in self._kinds()]
        await _side_by_side(*kinds, self._list_config_maps())

    async def resync(self) -> Resynced:
        """Compares what is known with what is there; reads what differs, prunes what is gone.

        Raises:
            ClusterError: The API server failed.
        """
        found = Resynced()
        kinds = [self._compare_kind(kind, found) for kind in self._kinds()]
        *_, config_maps = await _side_by_side(*kinds, self._list_config_maps())
        for key in config_maps:
            found.add(key)
        return found

    async def compare(self, resource: Resource, scope: str | None) -> Resynced:
        """Does so for one kind in one place; :meth:`version` is that of this list then.

        Raises:
            ClusterError: The API server failed, or does not let us.
        """
        found = Resynced()
        (kind,) = (kind for kind in self._kinds() if kind.resource == resource)
        await self._compare(kind, scope, found)
        return found

    def version(self, resource: Resource, scope: str | None) -> str:
        """The version that the last list of a kind there has shown; a watch goes on from it."""
        return self._versions.get(resource.path(scope), "")

    def watch(
        self, resource: Resource, scope: str | None, version: str
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yields what happens to a kind there after a version; see :meth:`KubeApi.watch`."""
        query = {"resourceVersion": version, "allowWatchBookmarks": "true"}
        if resource.selector:
            query["labelSelector"] = resource.selector
        path = resource.path(scope)
        return self._api.watch(path, query=query, seconds=_WATCH_SECONDS, silence=_SILENT_SECONDS)

    def _kinds(self) -> list[_Kind]:
        cache = self._cache
        return [
            _Kind(SESSIONS, cache.session_event, cache.drop_session, cache.sessions),
            _Kind(JOBS, cache.job_event, cache.drop_job, cache.jobs),
            _Kind(PODS, cache.pod_event, cache.drop_pod, cache.pods),
        ]

    async def _fill_kind(self, kind: _Kind) -> None:
        for scope in self.scopes:
            async for raw in self._pages(kind.resource, scope, JSON):
                kind.event(None, raw)

    async def _compare_kind(self, kind: _Kind, found: Resynced) -> None:
        for scope in self.scopes:
            await self._compare(kind, scope, found)

    async def _compare(self, kind: _Kind, scope: str | None, found: Resynced) -> None:
        known = {one.uid: one.version for one in kind.table if scope in (None, _place(one))}
        seen: dict[str, Mapping[str, Any]] = {}
        try:
            async for raw in self._pages(kind.resource, scope, METADATA):
                metadata = mapping(raw.get("metadata"))
                seen[text(metadata.get("uid"))] = metadata
        except NotFoundError:  # the CRD was removed, and all sessions with it
            seen = {}
        # What was made since the list began is in the cache, but not in `known`.
        gone = known.keys() - seen.keys()
        for uid in gone:
            found.add(kind.drop(uid))
        if gone:
            plural = kind.resource.plural
            found.pruned[plural] = found.pruned.get(plural, 0) + len(gone)
        for uid, metadata in seen.items():
            if version_of(metadata) > known.get(uid, 0):
                found.add(await self._read(kind, metadata))

    async def _read(self, kind: _Kind, metadata: Mapping[str, Any]) -> SessionKey | None:
        held = kind.table.get(text(metadata.get("uid")))
        if held is not None and held.version >= version_of(metadata):
            return None  # a watch has told it meanwhile
        path = kind.resource.path(text(metadata.get("namespace")), text(metadata.get("name")))
        try:
            return kind.event(None, await self._api.request("GET", path))
        except NotFoundError:
            return kind.event(DELETED, {"metadata": metadata})

    async def _list_config_maps(self) -> list[SessionKey]:
        found: dict[str, dict[str, str]] = {}
        for scope in self.scopes:
            async for raw in self._pages(CONFIG_MAPS, scope, METADATA):
                metadata = mapping(raw.get("metadata"))
                uid = text(mapping(metadata.get("labels")).get(SESSION_UID))
                held = found.setdefault(uid, {})
                held[text(metadata.get("name"))] = text(metadata.get("uid"))
        return self._cache.replace_config_maps(found)

    async def _pages(
        self, resource: Resource, scope: str | None, accept: str
    ) -> AsyncIterator[Mapping[str, Any]]:
        """Yields the items page by page; begins anew where a page's continuation is too old."""
        query = {"labelSelector": resource.selector} if resource.selector else None
        path = resource.path(scope)
        for left in reversed(range(_TRIES)):
            try:
                async for page in list_pages(
                    self._api, path, query=query, accept=accept, seconds=_SECONDS
                ):
                    version = mapping(page.get("metadata")).get("resourceVersion")
                    self._versions[path] = text(version)
                    for item in objects(page.get("items")):
                        yield item
            except GoneError:
                if not left:
                    raise
            else:
                return


@dataclass(frozen=True, slots=True)
class _Kind:
    resource: Resource
    event: _Event
    drop: _Drop
    table: ObjectTable[Any]


async def _side_by_side(*work: Coroutine[Any, Any, Any]) -> list[Any]:
    """Lists several kinds at once: the server is at the next page while one is read.

    Raises:
        ClusterError: The first that one of them met; the others are given up.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except* ClusterError as errors:
        failure = errors.exceptions[0]
    else:
        return [task.result() for task in tasks]
    raise failure


def _place(entry: Any) -> str:
    key = getattr(entry, "key", entry)
    namespace: str = key.namespace
    return namespace
