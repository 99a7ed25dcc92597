"""What the watches have told so far (80): summaries of sessions, Jobs, pods, names of ConfigMaps.

Three sources write here: watch events, answers to our own writes, and the resync. Whichever comes
late is told by its resource version and dropped, so a status read here is never older than one
that was seen before.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Generic, Protocol, TypeVar

from cascade_operator.control.kube.fields import text
from cascade_operator.control.kube.port import SessionKey
from cascade_operator.control.kube.sessions import SessionSummary, summarise_session
from cascade_operator.control.kube.summaries import (
    JobSummary,
    PodSummary,
    same_but_version,
    summarise_job,
    summarise_pod,
)

DELETED: Final = "DELETED"
_TOMBSTONES: Final = 4096
_NO_JOBS: Final[Mapping[str, JobSummary]] = {}
_NO_PODS: Final[Mapping[str, PodSummary]] = {}


class _Kept(Protocol):
    @property
    def uid(self) -> str: ...
    @property
    def version(self) -> int: ...


_T = TypeVar("_T", bound=_Kept)


class ObjectTable(Generic[_T]):
    """Objects of one kind by uid, and which were deleted lately."""

    def __init__(self) -> None:
        """Holds nothing."""
        self._held: dict[str, _T] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[_T]:
        return iter(self._held.values())

    def get(self, uid: str) -> _T | None:
        """The object of a uid."""
        return self._held.get(uid)

    def put(self, entry: _T) -> bool:
        """Takes a reading over, unless a newer one is held or the object is known to be gone."""
        held = self._held.get(entry.uid)
        stale = held is not None and entry.version and entry.version <= held.version
        if stale or entry.uid in self._gone:
            return False
        self._held[entry.uid] = entry
        return True

    def drop(self, uid: str) -> _T | None:
        """Forgets an object for good: a uid does not come back."""
        self._gone[uid] = None
        if len(self._gone) > _TOMBSTONES:
            self._gone.popitem(last=False)
        return self._held.pop(uid, None)


class WatchCache:
    """Everything observed, by session. Used from one event loop's thread."""

    def __init__(self) -> None:
        """Holds nothing."""
        self.sessions: ObjectTable[SessionSummary] = ObjectTable()
        self.jobs: ObjectTable[JobSummary] = ObjectTable()
        self.pods: ObjectTable[PodSummary] = ObjectTable()
        self._uids: dict[SessionKey, str] = {}
        self._jobs_of: dict[str, dict[str, JobSummary]] = {}
        self._pods_of: dict[str, dict[str, PodSummary]] = {}
        self._config_maps: dict[str, dict[str, str]] = {}

    # Reading.

    def session(self, key: SessionKey) -> SessionSummary | None:
        """The session of a key."""
        uid = self._uids.get(key)
        return None if uid is None else self.sessions.get(uid)

    def jobs_of(self, session_uid: str) -> Mapping[str, JobSummary]:
        """A session's Jobs by name."""
        return self._jobs_of.get(session_uid, _NO_JOBS)

    def pods_of(self, job_uid: str) -> Iterable[PodSummary]:
        """A Job's pods."""
        return self._pods_of.get(job_uid, _NO_PODS).values()

    def config_maps_of(self, session_uid: str) -> Mapping[str, str]:
        """The uids of a session's ConfigMaps, by name."""
        return self._config_maps.get(session_uid, {})

    # Events; each returns the session that has to be looked at again.

    def session_event(self, kind: str | None, raw: Mapping[str, Any]) -> SessionKey | None:
        """Takes an event of a TrainingSession over."""
        entry = summarise_session(raw)
        if kind == DELETED:
            return self.drop_session(entry.uid)
        before = self._uids.get(entry.key)
        if not self.sessions.put(entry):
            return None
        if before is not None and before != entry.uid:
            self.drop_session(before)  # deleted and made again under its name
        self._uids[entry.key] = entry.uid
        return entry.key

    def job_event(self, kind: str | None, raw: Mapping[str, Any]) -> SessionKey | None:
        """Takes an event of a Job over."""
        entry = summarise_job(raw)
        if entry is None:
            return None
        if kind == DELETED:
            return self.drop_job(entry.uid)
        before = self.jobs.get(entry.uid)
        if not self.jobs.put(entry):
            return None
        self._jobs_of.setdefault(entry.session_uid, {})[entry.name] = entry
        if before is not None and same_but_version(before, entry):
            return None
        return SessionKey(entry.namespace, entry.session)

    def pod_event(self, kind: str | None, raw: Mapping[str, Any]) -> SessionKey | None:
        """Takes an event of a pod over."""
        entry = summarise_pod(raw)
        if entry is None:
            return None
        if kind == DELETED:
            return self.drop_pod(entry.uid)
        before = self.pods.get(entry.uid)
        if not self.pods.put(entry):
            return None
        self._pods_of.setdefault(entry.job_uid, {})[entry.uid] = entry
        if before is not None and same_but_version(before, entry):
            return None
        return self._key_of(entry)

    def config_map_seen(self, metadata: Mapping[str, Any], session_uid: str) -> None:
        """Takes a ConfigMap over that exists."""
        name, uid = text(metadata.get("name")), text(metadata.get("uid"))
        self._config_maps.setdefault(session_uid, {})[name] = uid

    # Forgetting.

    def drop_session(self, uid: str) -> SessionKey | None:
        """Forgets a session. Its Jobs follow as the garbage collector deletes them."""
        entry = self.sessions.drop(uid)
        self._config_maps.pop(uid, None)
        if entry is None:
            return None
        if self._uids.get(entry.key) == uid:
            del self._uids[entry.key]
        return entry.key

    def drop_job(self, uid: str) -> SessionKey | None:
        """Forgets a Job."""
        entry = self.jobs.drop(uid)
        if entry is None:
            return None
        held = self._jobs_of.get(entry.session_uid, {})
        if entry.name in held and held[entry.name].uid == uid:
            del held[entry.name]
        if not held:
            self._jobs_of.pop(entry.session_uid, None)
        return SessionKey(entry.namespace, entry.session)

    def drop_pod(self, uid: str) -> SessionKey | None:
        """Forgets a pod."""
        entry = self.pods.drop(uid)
        if entry is None:
            return None
        held = self._pods_of.get(entry.job_uid, {})
        held.pop(uid, None)
        if not held:
            self._pods_of.pop(entry.job_uid, None)
        return self._key_of(entry)

    def drop_config_map(self, session_uid: str, name: str) -> None:
        """Forgets a ConfigMap."""
        held = self._config_maps.get(session_uid, {})
        held.pop(name, None)
        if not held:
            self._config_maps.pop(session_uid, None)

    def replace_config_maps(self, found: Mapping[str, Mapping[str, str]]) -> list[SessionKey]:
        """Takes a whole list over, uids by name by session uid; returns whose have changed."""
        changed = [
            uid
            for uid in {*self._config_maps, *found}
            if self._names(uid) != set(found.get(uid, {}))
        ]
        self._config_maps = {uid: dict(held) for uid, held in found.items()}
        entries = (self.sessions.get(uid) for uid in changed)
        return [entry.key for entry in entries if entry is not None]

    def _names(self, session_uid: str) -> set[str]:
        return set(self._config_maps.get(session_uid, {}))

    def _key_of(self, pod: PodSummary) -> SessionKey | None:
        job = self.jobs.get(pod.job_uid)
        if job is not None:
            return SessionKey(job.namespace, job.session)
        # Its Job's event is still on the way: the session is known by the label.
        session = self.sessions.get(pod.session_uid)
        return session.key if session is not None else None
