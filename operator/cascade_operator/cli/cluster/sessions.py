"""TrainingSessions on an API server: read, listed, watched, patched; and their events."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from cascade_operator.api.base import KIND
from cascade_operator.api.errors import SpecError
from cascade_operator.control.kube.errors import BusyError, GoneError, UnreachableError
from cascade_operator.control.kube.fields import mapping, objects, text
from cascade_operator.control.kube.paging import PAGE, list_items
from cascade_operator.control.kube.port import ClusterError, NotFoundError, RefusedError
from cascade_operator.control.kube.resources import EVENTS, MERGE_PATCH, SESSIONS

if TYPE_CHECKING:
    from cascade_operator.control.kube.api import KubeApi

FIELD_MANAGER: Final = "kubectl-cascade"

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 15.0


class SessionMissing(SpecError):  # noqa: N818 - names what is the case
    """There is no session of the name, or the cluster does not know the kind."""

    reason = "NotFound"


@dataclass(frozen=True, slots=True)
class Seen:
    """One thing that a watch saw.

    Attributes:
        kind: ``session`` with the whole of it, ``deleted``, or ``lost`` while the connection is.
        raw: The session, of the first two.
        message: Why the connection is lost.
    """

    kind: Literal["session", "deleted", "lost"]
    raw: Mapping[str, Any]
    message: str = ""


async def get_session(api: KubeApi, namespace: str, name: str) -> dict[str, Any]:
    """Reads a session.

    Raises:
        SessionMissing: It is not there; the mend names one that may have been meant.
        ClusterError: The cluster failed.
    """
    try:
        return await api.request("GET", SESSIONS.path(namespace, name))
    except NotFoundError:
        raise await _missing(api, namespace, name) from None


async def list_sessions(api: KubeApi, namespace: str | None) -> list[Mapping[str, Any]]:
    """Reads the sessions of a namespace, or of all.

    Raises:
        SessionMissing: The cluster does not know the kind.
        ClusterError: The cluster failed.
    """
    try:
        return await _pages(api, namespace)
    except GoneError:
        # A page's continuation has grown too old: the list is read again from its beginning.
        return await _pages(api, namespace)
    except NotFoundError:
        raise _unknown_kind(api) from None


async def patch_session(
    api: KubeApi, namespace: str, name: str, change: Mapping[str, Any]
) -> dict[str, Any]:
    """Merges a change into a session and returns the session.

    Raises:
        SessionMissing: It is not there.
        ClusterError: The cluster failed, or refused the change.
    """
    query = {"fieldManager": FIELD_MANAGER}
    path = SESSIONS.path(namespace, name)
    try:
        return await api.request(
            "PATCH", path, query=query, body=dict(change), content_type=MERGE_PATCH
        )
    except NotFoundError:
        raise await _missing(api, namespace, name) from None


async def events_of(api: KubeApi, raw: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Reads the events on a session; raises a ``ClusterError`` where that may not be."""
    metadata = mapping(raw.get("metadata"))
    chosen = {
        "involvedObject.kind": KIND,
        "involvedObject.name": text(metadata.get("name")),
        "involvedObject.uid": text(metadata.get("uid")),
    }
    selector = ",".join(f"{key}={value}" for key, value in chosen.items() if value)
    path = EVENTS.path(text(metadata.get("namespace")))
    answer = await api.request("GET", path, query={"fieldSelector": selector, "limit": PAGE})
    return _items(answer)


async def watch_session(api: KubeApi, namespace: str, name: str) -> AsyncIterator[Seen]:
    """Yields the session as it is, then each change of it, until it is deleted.

    A watch that the server ends goes on from where it was; one whose version has grown too old
    (410) begins with a new list; a lost connection is told once and tried again, ever more slowly.

    Raises:
        SessionMissing: It is not there at the beginning.
        ClusterError: The cluster refuses.
    """
    wait = _FIRST_WAIT
    seen: Mapping[str, Any] = await get_session(api, namespace, name)
    yield Seen("session", seen)
    version = ""
    lost = False
    while True:
        try:
            if not version:
                found, version = await _listed(api, namespace, name)
                if found is None:
                    yield Seen("deleted", seen)
                    return
                if lost or _version(found) != _version(seen):
                    seen = found
                    yield Seen("session", seen)
                lost, wait = False, _FIRST_WAIT
            query = {"watch": "true", **_only(name), "resourceVersion": version}
            async for event in api.watch(SESSIONS.path(namespace), query=query):
                version = _version(event["object"]) or version
                if event["type"] == "DELETED":
                    yield Seen("deleted", event["object"])
                    return
                if event["type"] != "BOOKMARK":
                    seen, lost, wait = event["object"], False, _FIRST_WAIT
                    yield Seen("session", seen)
        except GoneError:
            version = ""
        except (UnreachableError, BusyError) as error:
            if not lost:
                yield Seen("lost", seen, str(error))
            lost, version = True, ""
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)


async def _listed(api: KubeApi, namespace: str, name: str) -> tuple[Mapping[str, Any] | None, str]:
    answer = await api.request("GET", SESSIONS.path(namespace), query=_only(name))
    return next(iter(_items(answer)), None), _version(answer)


def _only(name: str) -> dict[str, str]:
    return {"fieldSelector": f"metadata.name={name}"}


def _version(raw: Mapping[str, Any]) -> str:
    return text(mapping(raw.get("metadata")).get("resourceVersion"))


async def _pages(api: KubeApi, namespace: str | None) -> list[Mapping[str, Any]]:
    return [item async for item in list_items(api, SESSIONS.path(namespace))]


def _items(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return objects(answer.get("items"))


def _name(raw: Mapping[str, Any]) -> str:
    return text(mapping(raw.get("metadata")).get("name"))


async def _missing(api: KubeApi, namespace: str, name: str) -> SessionMissing:
    """Says what is missing: the session, or the kind; and which session may be meant."""
    try:
        there = [_name(raw) for raw in await list_sessions(api, namespace)]
    except (SessionMissing, RefusedError) as error:
        if isinstance(error, SessionMissing):
            return error
        there = []
    message = f"there is no TrainingSession {name!r} in the namespace {namespace!r}"
    if close := difflib.get_close_matches(name, there, 3):
        return SessionMissing(message, mend=f"did you mean {' or '.join(close)}?")
    try:
        everywhere = await list_sessions(api, None)
    except ClusterError:
        everywhere = []
    homes = [
        text(mapping(raw.get("metadata")).get("namespace"))
        for raw in everywhere
        if _name(raw) == name
    ]
    if homes:
        return SessionMissing(message, mend=f"it is in another one: -n {homes[0]}")
    some = ", ".join(sorted(there)[:5])
    mend = f"there are {some}" if there else "name its namespace with -n"
    return SessionMissing(message, mend=mend)


def _unknown_kind(api: KubeApi) -> SessionMissing:
    return SessionMissing(
        f"{api.server} does not know the kind {KIND}",
        mend="install it: cascade crd --output crds && kubectl apply --server-side -f crds",
    )
