"""Everything that happened to sessions, their Jobs and their pods, in the order of the store.

One watch for each of the three kinds. A stream that ends, whatever ended it, is taken up again from
the last version seen: an API server that restarts, or a CRD that is removed and restored, costs no
event. Only where the server has forgotten that version (410) is the kind listed anew; what was made
and went between the two was then not seen, and ``gaps`` says so.
"""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from api.custom_resource import GROUP_VERSION
from api.rest import ApiError, Rest
from cascade_operator.control.manifests.labels import SESSION_UID

SESSIONS: Final = "trainingsessions"
JOBS: Final = "jobs"
PODS: Final = "pods"

ADDED: Final = "ADDED"
DELETED: Final = "DELETED"

_OURS: Final = {"labelSelector": SESSION_UID}
_WATCHED: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    SESSIONS: (f"/apis/{GROUP_VERSION}/{SESSIONS}", {}),
    JOBS: (f"/apis/batch/v1/{JOBS}", _OURS),
    PODS: (f"/api/v1/{PODS}", _OURS),
}
_RETRY_SECONDS: Final = 0.1
_STREAM_SECONDS: Final = 3000


@dataclass(frozen=True)
class Change:
    """What a watch told.

    Attributes:
        kind: ``trainingsessions``, ``jobs`` or ``pods``.
        type: ``ADDED``, ``MODIFIED`` or ``DELETED``.
        raw: The object, a deleted one as it was last.
        heard: When, by ``time.monotonic()``.
    """

    kind: str
    type: str
    raw: dict[str, Any]
    heard: float

    @property
    def version(self) -> int:
        """When it happened: the store counts all its changes, of whatever kind, in one row."""
        return int(self.raw["metadata"]["resourceVersion"])

    @property
    def uid(self) -> str:
        """The object's uid."""
        found: str = self.raw["metadata"]["uid"]
        return found

    @property
    def labels(self) -> dict[str, str]:
        """The object's labels."""
        found: dict[str, str] = self.raw["metadata"].get("labels", {})
        return found


class Recorder:
    """What the watches have shown so far.

    Attributes:
        gaps: The kinds that had to be listed anew, as often as they had.
    """

    def __init__(self) -> None:
        """Has seen nothing yet."""
        self.gaps: list[str] = []
        self._lock = threading.Lock()
        self._seen: list[Change] = []

    def add(self, kind: str, type: str, raw: dict[str, Any]) -> None:  # noqa: A002 - as in a watch
        """Takes one event of a watch."""
        with self._lock:
            self._seen.append(Change(kind, type, raw, time.monotonic()))

    def changes(self, kind: str = "") -> list[Change]:
        """All that happened, or what happened to one kind, the oldest first."""
        with self._lock:
            seen = [one for one in self._seen if kind in ("", one.kind)]
        return sorted(seen, key=lambda one: one.version)

    def of_session(self, uid: str) -> list[Change]:
        """What happened to a session, its Jobs and its pods, the oldest first."""
        return [one for one in self.changes() if uid in (one.uid, one.labels.get(SESSION_UID))]

    def versions(self, uid: str) -> list[dict[str, Any]]:
        """All versions of a session, the oldest first."""
        return [one.raw for one in self.changes(SESSIONS) if one.uid == uid and one.type != DELETED]

    def all(self) -> list[dict[str, Any]]:
        """All versions of all sessions."""
        return [one.raw for one in self.changes(SESSIONS) if one.type != DELETED]


@contextmanager
def recording(rest: Rest) -> Iterator[Recorder]:
    """Watches sessions, Jobs and pods everywhere while the block lasts."""
    recorder = Recorder()
    watches = [_Watch(rest, recorder, kind) for kind in _WATCHED]
    try:
        for watch in watches:
            watch.start()
        yield recorder
    finally:
        for watch in watches:
            watch.end()


class _Watch:
    """One kind, from its first list until it is ended."""

    def __init__(self, rest: Rest, recorder: Recorder, kind: str) -> None:
        self._rest, self._recorder, self._kind = rest, recorder, kind
        self._path, self._query = _WATCHED[kind]
        self._known: dict[str, dict[str, Any]] = {}
        self._version = ""
        self._ended = threading.Event()
        self._connection: http.client.HTTPSConnection | None = None
        self._thread = threading.Thread(target=self._run, name=f"recorder of {kind}", daemon=True)

    def start(self) -> None:
        """Lists, so that whatever is made from now on is seen, and begins to watch."""
        self._list()
        self._thread.start()

    def end(self) -> None:
        """Ends the stream and the thread."""
        self._ended.set()
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(2)
        self._thread.join(timeout=60)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                if not self._version:
                    self._list()
                self._stream()
            except (OSError, ValueError, http.client.HTTPException, AttributeError, ApiError):
                # The server is away, the CRD is, or the stream was cut in the midst of a line.
                self._ended.wait(_RETRY_SECONDS)

    def _list(self) -> None:
        found = self._rest.get(self._path, **self._query)
        there = {one["metadata"]["uid"]: one for one in found["items"]}
        for uid in [uid for uid in self._known if uid not in there]:
            gone = self._known[uid]
            # As if it had happened now; when it did, nobody saw.
            gone["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
            self._take(DELETED, gone)
        for uid, raw in there.items():
            held = self._known.get(uid)
            if held is None or _version(held) != _version(raw):
                self._take(ADDED if held is None else "MODIFIED", raw)
        self._version = found["metadata"]["resourceVersion"]

    def _stream(self) -> None:
        query = {
            **self._query,
            "watch": "true",
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_STREAM_SECONDS),
        }
        context = ssl.create_default_context(cafile=str(self._rest.authority))
        assert self._rest.user is not None
        context.load_cert_chain(self._rest.user.certificate, self._rest.user.key)
        self._connection = http.client.HTTPSConnection(
            "127.0.0.1", self._rest.port, context=context
        )
        try:
            self._connection.request("GET", f"{self._path}?{urlencode(query)}")
            answer = self._connection.getresponse()
            if answer.status == 410:
                self._forget()
            elif answer.status == 200:
                for line in answer:
                    self._read(json.loads(line))
            else:
                raise ConnectionError(f"a watch was answered with {answer.status}")
        finally:
            self._connection.close()

    def _read(self, event: dict[str, Any]) -> None:
        if event["type"] == "ERROR":
            if event["object"].get("code") == 410:
                self._forget()
            raise ConnectionError(f"a watch ended with {event['object'].get('message')}")
        if event["type"] != "BOOKMARK":
            self._take(event["type"], event["object"])
        self._version = event["object"]["metadata"]["resourceVersion"]

    def _forget(self) -> None:
        self._version = ""
        self._recorder.gaps.append(self._kind)

    def _take(self, type: str, raw: dict[str, Any]) -> None:  # noqa: A002 - as in a watch
        uid = raw["metadata"]["uid"]
        if type == DELETED:
            self._known.pop(uid, None)
        else:
            self._known[uid] = raw
        self._recorder.add(self._kind, type, raw)


def _version(raw: dict[str, Any]) -> str:
    found: str = raw["metadata"]["resourceVersion"]
    return found
