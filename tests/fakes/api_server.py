"""A small Kubernetes API server over HTTP, for what a real one does only when it is unwell.

LIST and WATCH with bookmarks, resource versions and label selectors, create, replace, merge-patch,
delete, the status subresource, optimistic locking, discovery. Faults on demand: an error for the
next requests of a path, watches that are cut or told that their version is too old, a kind that is
not served. ``tests/api`` has the real server.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from fakes.kubeconfig import write_kubeconfig

KINDS = {
    "trainingsessions": ("/apis/cascade-operator.dev/v1alpha1", "TrainingSession", True),
    "jobs": ("/apis/batch/v1", "Job", True),
    "leases": ("/apis/coordination.k8s.io/v1", "Lease", True),
    "customresourcedefinitions": (
        "/apis/apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        False,
    ),
    "pods": ("/api/v1", "Pod", True),
    "configmaps": ("/api/v1", "ConfigMap", True),
    "events": ("/api/v1", "Event", True),
    "namespaces": ("/api/v1", "Namespace", False),
}
_CLOSED = None


@dataclass
class Watcher:
    """One open watch."""

    resource: str
    selector: str
    queue: asyncio.Queue[dict[str, Any] | None]


@dataclass
class FakeApiServer:
    """Serves between ``async with`` and its end.

    Attributes:
        objects: By resource, namespace and name.
        requests: Of each request its method, path and user agent.
        queries: Of each LIST and WATCH its resource and parameters.
        faults: A path's end -> statuses of the next requests to it.
        absent: Resources that are not served.
        watchers: The watches that are open.
    """

    objects: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    queries: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    faults: dict[str, list[int]] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)
    watchers: list[Watcher] = field(default_factory=list)
    url: str = ""
    _version: int = 100

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut_watches()
        await self._runner.cleanup()

    # What a test does to it.

    def kubeconfig(self, folder: Path) -> Path:
        """Writes a kubeconfig for it."""
        user = {"token": "a-token"}
        return write_kubeconfig(folder / "kubeconfig", self.url, user, namespace="ops")

    def put(self, resource: str, name: str, namespace: str = "ml", **body: Any) -> dict[str, Any]:
        """Creates or replaces an object, and tells the watches."""
        api, kind, _ = KINDS[resource]
        key = (resource, namespace, name)
        kept = self.objects.get(key, {}).get("metadata", {})
        self._version += 1
        made = {
            "apiVersion": api.removeprefix("/apis/").removeprefix("/api/"),
            "kind": kind,
            **body,
        }
        made["metadata"] = {
            "uid": f"uid-of-{resource}-{self._version}",
            **kept,
            **body.get("metadata", {}),
            "name": name,
            "namespace": namespace,
            "resourceVersion": str(self._version),
        }
        event = "MODIFIED" if key in self.objects else "ADDED"
        self.objects[key] = made
        self._tell(resource, event, made)
        return made

    def remove(self, resource: str, name: str, namespace: str = "ml", *, told: bool = True) -> None:
        """Deletes an object; untold, as while a watch was down."""
        gone = self.objects.pop((resource, namespace, name))
        self._version += 1
        if told:
            self._tell(resource, "DELETED", gone)

    def cut_watches(self, resource: str = "") -> None:
        """Ends watches in the middle."""
        for watcher in self._of(resource):
            watcher.queue.put_nowait(_CLOSED)

    def outdate_watches(self, resource: str = "") -> None:
        """Tells watches that their resource version is too old, and ends them."""
        status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
        for watcher in self._of(resource):
            watcher.queue.put_nowait({"type": "ERROR", "object": status})
            watcher.queue.put_nowait(_CLOSED)

    def writes(self, agent: str = "") -> list[tuple[str, str]]:
        """Method and path of every request that writes, by clients of this name.

        A review of rights is asked by POST, and leaves nothing behind.
        """
        asked = [(m, p) for m, p, a in self.requests if m != "GET" and a.startswith(agent)]
        return [(m, p) for m, p in asked if not p.endswith("/selfsubjectaccessreviews")]

    def watched(self, resource: str) -> int:
        """How many watches of a resource were ever opened."""
        return sum(r == resource and "watch" in query for r, query in self.queries)

    def _of(self, resource: str) -> list[Watcher]:
        return [w for w in self.watchers if w.resource == resource or not resource]

    def _tell(self, resource: str, kind: str, found: dict[str, Any]) -> None:
        for watcher in self._of(resource):
            if _selected(found, watcher.selector):
                watcher.queue.put_nowait({"type": kind, "object": found})

    # HTTP.

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        self.requests.append((request.method, path, request.headers.get("User-Agent", "")))
        for end, statuses in self.faults.items():
            if path.endswith(end) and statuses:
                return _failed(statuses.pop(0), "as the test asked")
        if request.method == "GET" and (found := self._discovery(path)) is not None:
            return web.json_response(found)
        target = self._target(path)
        if target is None:
            return _failed(404, "404 page not found")
        resource, namespace, name, subresource = target
        if request.method == "GET" and not name:
            return await self._list_or_watch(request, resource, namespace)
        return await self._one(request, resource, namespace, name, subresource)

    def _discovery(self, path: str) -> dict[str, Any] | None:
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        bases = {api for resource, (api, _, _) in KINDS.items() if resource not in self.absent}
        if path == "/apis":
            groups = []
            for _, _, group, version in (b.split("/") for b in sorted(bases) if b != "/api/v1"):
                found = {"groupVersion": f"{group}/{version}", "version": version}
                groups.append({"name": group, "versions": [found], "preferredVersion": found})
            return {"kind": "APIGroupList", "groups": groups}
        if path not in bases:
            return None
        resources = [
            {
                "name": resource,
                "singularName": kind.lower(),
                "kind": kind,
                "namespaced": namespaced,
                "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
            }
            for resource, (api, kind, namespaced) in KINDS.items()
            if api == path and resource not in self.absent
        ]
        return {"kind": "APIResourceList", "resources": resources}

    def _target(self, path: str) -> tuple[str, str, str, str] | None:
        for resource, (api, _, _) in KINDS.items():
            rest = path.removeprefix(f"{api}/").split("/")
            if not path.startswith(f"{api}/") or resource in self.absent:
                continue
            namespace = ""
            if rest[0] == "namespaces" and len(rest) > 2:
                namespace, rest = rest[1], rest[2:]
            if rest[0] == resource:
                name, subresource = [*rest[1:], "", ""][:2]
                return resource, namespace, name, subresource
        return None

    async def _list_or_watch(
        self, request: web.Request, resource: str, namespace: str
    ) -> web.StreamResponse:
        query = dict(request.query)
        self.queries.append((resource, query))
        selector = query.get("labelSelector", "")
        if query.get("watch") == "true":
            return await self._watch(request, resource, selector)
        items = [
            found
            for (kind, space, _), found in self.objects.items()
            if kind == resource and namespace in ("", space) and _selected(found, selector)
        ]
        _, kind, _ = KINDS[resource]
        metadata = {"resourceVersion": str(self._version)}
        return web.json_response({"kind": f"{kind}List", "metadata": metadata, "items": items})

    async def _watch(
        self, request: web.Request, resource: str, selector: str
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        watcher = Watcher(resource, selector, asyncio.Queue())
        self.watchers.append(watcher)
        bookmark = {"kind": resource, "metadata": {"resourceVersion": str(self._version)}}
        watcher.queue.put_nowait({"type": "BOOKMARK", "object": bookmark})
        try:
            while (event := await watcher.queue.get()) is not _CLOSED:
                await response.write(json.dumps(event).encode() + b"\n")
        finally:
            self.watchers.remove(watcher)
        return response

    async def _one(
        self, request: web.Request, resource: str, namespace: str, name: str, subresource: str
    ) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else {}
        name = name or body.get("metadata", {}).get("name", "") or f"generated-{self._version}"
        old = self.objects.get((resource, namespace, name))
        if request.method == "POST":
            if old is not None:
                return _failed(409, "it exists", "AlreadyExists")
            return web.json_response(self.put(resource, name, namespace, **body), status=201)
        if old is None:
            return _failed(404, f"{name} not found", "NotFound")
        if request.method == "GET":
            return web.json_response(old)
        if request.method == "DELETE":
            self.remove(resource, name, namespace)
            return web.json_response({"kind": "Status", "status": "Success"})
        version = body.get("metadata", {}).get("resourceVersion", "")
        if version and version != old["metadata"]["resourceVersion"]:
            return _failed(409, "it was modified", "Conflict")
        new = body if request.method == "PUT" else _merged(old, body)
        if subresource == "status":
            new = {**old, "status": new.get("status", {})}
        new.get("metadata", {}).pop("resourceVersion", None)
        return web.json_response(self.put(resource, name, namespace, **new))


def _merged(old: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    base = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            base.pop(key, None)
        else:
            base[key] = _merged(base.get(key), value)
    return base


def _selected(found: dict[str, Any], selector: str) -> bool:
    labels = found.get("metadata", {}).get("labels") or {}
    for term in filter(None, selector.split(",")):
        key, equals, value = term.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


def _failed(code: int, message: str, reason: str = "") -> web.Response:
    body = {"kind": "Status", "status": "Failure", "code": code, "message": message}
    headers = {"Retry-After": "0"} if code == 429 else {}
    return web.json_response({**body, "reason": reason}, status=code, headers=headers)
