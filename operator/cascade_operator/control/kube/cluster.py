"""The port onto a real cluster (80): reads from the watch cache, writes to the API server."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from cascade_operator.api.records import Progress
from cascade_operator.api.resolve import Defaults
from cascade_operator.api.status import GroupPhase, TrainingSessionStatus
from cascade_operator.control.domain.draft import Part
from cascade_operator.control.domain.model import (
    PROGRESS_SECONDS,
    Event,
    JobState,
    Observed,
    PodView,
    Publication,
    Refusal,
    SessionView,
)
from cascade_operator.control.kube.api import KubeApi
from cascade_operator.control.kube.cache import WatchCache
from cascade_operator.control.kube.config_maps import ConfigMaps
from cascade_operator.control.kube.errors import AlreadyExistsError
from cascade_operator.control.kube.fields import mapping, objects, text
from cascade_operator.control.kube.live_figures import LiveFigures
from cascade_operator.control.kube.patch import merge_diff
from cascade_operator.control.kube.pod_words import PodWords
from cascade_operator.control.kube.port import (
    ChildKind,
    ClusterError,
    ConflictError,
    NameConflictError,
    NotFoundError,
    RefusedError,
    SessionKey,
)
from cascade_operator.control.kube.publisher import Publisher
from cascade_operator.control.kube.resources import (
    CONFIG_MAPS,
    EVENTS,
    JOBS,
    MERGE_PATCH,
    PODS,
    SESSIONS,
    Resource,
)
from cascade_operator.control.kube.sessions import SessionReader, SessionSummary
from cascade_operator.control.kube.summaries import (
    JobSummary,
    PodSummary,
    job_view,
    latest_pod,
    pod_view,
)
from cascade_operator.control.manifests.event import build_event
from cascade_operator.control.manifests.labels import SESSION_UID, Owner
from cascade_operator.control.manifests.published import PublishRequest

_LOG = logging.getLogger(__name__)
_KINDS: Final[Mapping[str, Resource]] = {"Job": JOBS, "ConfigMap": CONFIG_MAPS}
_NO_FIGURES: Final[Mapping[str, Progress]] = {}


class KubeCluster:
    """Implements the cluster port. Used from one event loop.

    Attributes:
        cache: What the watches tell goes in here.
        figures: Live figures by session uid, as they were last read.
        defaults: What the planner fills a spec's gaps with.
    """

    def __init__(
        self,
        api: KubeApi,
        *,
        defaults: Defaults,
        progress_seconds: float = PROGRESS_SECONDS,
        redis: LiveFigures | None = None,
        instance: str = "",
    ) -> None:
        """Starts with an empty cache.

        Args:
            api: The API server.
            defaults: What the planner fills a spec's gaps with.
            progress_seconds: How often live figures alone may be written.
            redis: Where programs to be published are; None where there is no Redis.
            instance: Who reports events; the pod's name.
        """
        self.cache = WatchCache()
        self.figures: Mapping[str, Mapping[str, Progress]] = {}
        self._api = api
        self.defaults = defaults
        self._progress_seconds = progress_seconds
        self._instance = instance
        self._reader = SessionReader()
        self._refused: dict[str, dict[str, Refusal]] = {}
        self._pod_words = PodWords(api)
        self._publisher = Publisher(ConfigMaps(api), redis)
        self._publications: dict[str, Publication] = {}

    # The port.

    async def observe(self, key: SessionKey) -> Observed | None:
        """Reads a session and its children from the cache."""
        summary = self.cache.session(key)
        if summary is None:
            return None
        session = self._reader.view(summary)
        running = _running_jobs(session.status)
        jobs, pods = {}, {}
        for job in list(self.cache.jobs_of(summary.uid).values()):
            pod = latest_pod(job, self.cache.pods_of(job.uid))
            if job.name in running and job.ended and not (pod is not None and pod.ended):
                pod = await self._pod_of_ended(job)
            view = jobs[job.name] = job_view(job, pod)
            if view.state is JobState.PENDING:
                pods[job.name] = await self._why_pending(job, pod)
        return Observed(
            session=session,
            jobs=jobs,
            config_maps=frozenset(self.cache.config_maps_of(summary.uid)),
            progress=self.figures.get(summary.uid, _NO_FIGURES),
            defaults=self.defaults,
            pods={name: pod for name, pod in pods.items() if pod is not None},
            refused=dict(self._refused.get(summary.uid, {})),
            progress_seconds=self._progress_seconds,
            publication=self._publications.get(summary.uid),
        )

    async def create(self, manifest: Mapping[str, Any]) -> None:
        """Creates a child; one of its name that has the same owner uid is fine.

        Raises:
            NameConflictError: The name belongs to something else, or its holder is being deleted.
            RefusedError: The API server refused the manifest.
        """
        metadata = manifest["metadata"]
        resource = _KINDS[manifest["kind"]]
        uid, name = metadata["labels"][SESSION_UID], metadata["name"]
        path = resource.path(metadata["namespace"])
        try:
            answer = await self._api.request(
                "POST", path, body=manifest, query={"fieldValidation": "Strict"}
            )
        except AlreadyExistsError as error:
            answer = await self._own(resource, metadata["namespace"], name, uid, error)
        except RefusedError as error:
            self._note_refusal(uid, name, error.reason, str(error))
            raise
        self._refused.get(uid, {}).pop(name, None)
        if resource is JOBS:
            self.cache.job_event(None, answer)
        else:
            self.cache.config_map_seen(mapping(answer.get("metadata")), uid)

    async def delete(self, kind: ChildKind, session: SessionView, name: str) -> None:
        """Deletes a session's child; a Job stays, as deleting, until its pod has ended."""
        resource = _KINDS[kind]
        uid = self._uid_of(kind, session.uid, name)
        if uid is None:
            return
        # The uid keeps us from deleting what has taken the name meanwhile.
        body = {"propagationPolicy": "Foreground", "preconditions": {"uid": uid}}
        try:
            answer = await self._api.request(
                "DELETE", resource.path(session.namespace, name), body=body
            )
        except (NotFoundError, ConflictError):
            answer = {}
        if resource is CONFIG_MAPS:
            self.cache.drop_config_map(session.uid, name)
        elif answer.get("kind") == "Job":
            self.cache.job_event(None, answer)
        else:
            self.cache.drop_job(uid)

    async def publish(self, request: PublishRequest) -> None:
        """Publishes a program, and remembers what came of it."""
        self._publications[request.uid] = await self._publisher.publish(request)

    async def write_status(self, session: SessionView, status: TrainingSessionStatus) -> None:
        """Patches what differs between the status that is there and the one that shall be.

        Raises:
            ConflictError: ``session`` is not the newest, or another has taken its name.
            NotFoundError: The session is gone.
        """
        key = SessionKey(session.namespace, session.name)
        summary = self.cache.session(key)
        if summary is None or summary.uid != session.uid:
            raise NotFoundError(f"{key} is gone")
        if str(summary.version) != session.resource_version:
            raise ConflictError(f"{key} was written since it was read")
        wanted = status.model_dump(mode="json", by_alias=True, exclude_none=True)
        patch = {
            "metadata": {"uid": session.uid, "resourceVersion": session.resource_version},
            "status": merge_diff(summary.raw_status(), wanted),
        }
        path = SESSIONS.path(session.namespace, session.name, "status")
        answer = await self._api.request("PATCH", path, body=patch, content_type=MERGE_PATCH)
        self.cache.session_event(None, answer)
        written = self.cache.session(key)
        if written is not None:
            self._remember(written, status, answer)

    async def emit(self, session: SessionView, event: Event) -> None:
        """Records an event on the session. One that the API server will not have is only logged."""
        # As client-go names them: a list of a session's events is then in their order, where the
        # times, in whole seconds, are often the same.
        name = f"{session.name}.{time.time_ns():x}"
        body = build_event(
            Owner(session.name, session.namespace, session.uid),
            name,
            datetime.now(UTC),
            kind=str(event.type),
            reason=event.reason,
            message=event.message,
            instance=self._instance,
        )
        try:
            await self._api.request("POST", EVENTS.path(session.namespace), body=body)
        except ClusterError as error:
            _LOG.warning("the event %s is not recorded: %s", event.reason, error)

    # Beside the port.

    def view(self, key: SessionKey) -> SessionView | None:
        """The session as the planner would see it."""
        summary = self.cache.session(key)
        return None if summary is None else self._reader.view(summary)

    def tidy(self) -> None:
        """Drops what is remembered of sessions and Jobs that are gone."""
        self._refused = {
            uid: held for uid, held in self._refused.items() if self.cache.sessions.get(uid)
        }
        self._publications = {
            uid: held for uid, held in self._publications.items() if self.cache.sessions.get(uid)
        }
        self._pod_words.tidy(self.cache)

    def _remember(
        self, written: SessionSummary, status: TrainingSessionStatus, answer: Mapping[str, Any]
    ) -> None:
        """Spares parsing the answer where it is what was asked for, as it always should be."""
        if str(written.version) == text(mapping(answer.get("metadata")).get("resourceVersion")):
            self._reader.written(written, status)

    def _uid_of(self, kind: ChildKind, session_uid: str, name: str) -> str | None:
        """The uid of a child that is known."""
        if kind == "ConfigMap":
            return self.cache.config_maps_of(session_uid).get(name)
        job = self.cache.jobs_of(session_uid).get(name)
        return None if job is None else job.uid

    def _note_refusal(self, uid: str, name: str, reason: str, message: str) -> None:
        held = self._refused.setdefault(uid, {})
        since = held[name].since if name in held else datetime.now(UTC)
        held[name] = Refusal(reason, message, since)

    async def _own(
        self, resource: Resource, namespace: str, name: str, uid: str, error: ClusterError
    ) -> dict[str, Any]:
        """The object that holds a name, where it is this session's own.

        A retried write meets what it made before, and a session made again under its name meets
        the children of its namesake while they are being deleted.
        """
        try:
            found = await self._api.request("GET", resource.path(namespace, name))
        except NotFoundError as gone:
            raise ClusterError(f"{name} went while it was looked at") from gone
        metadata = mapping(found.get("metadata"))
        owners = {text(owner.get("uid")) for owner in objects(metadata.get("ownerReferences"))}
        if uid in owners and "deletionTimestamp" not in metadata:
            return found
        kind = found.get("kind", "object")
        if uid in owners:
            raise NameConflictError(f"the {kind} {name} is still being deleted") from error
        message = f"the {kind} {name} exists and belongs to something else"
        self._note_refusal(uid, name, "NameConflict", message)
        raise NameConflictError(message) from error

    async def _why_pending(self, job: JobSummary, pod: PodSummary | None) -> PodView | None:
        """What is known of why a Job's pod does not run."""
        if pod is not None and not pod.disrupted:
            return pod_view(pod)
        disrupted = "" if pod is None else pod.disrupted
        words = await self._pod_words.of(job)
        return PodView(job.name, refused=words, disrupted=disrupted) if words or disrupted else None

    async def _pod_of_ended(self, job: JobSummary) -> PodSummary | None:
        """Reads the pod of a Job whose end was told before its pod's: two watches, no order.

        A pod that is gone leaves the Job with what the Job itself says.
        """
        query = {"labelSelector": f"batch.kubernetes.io/job-name={job.name}"}
        answer = await self._api.request("GET", PODS.path(job.namespace), query=query)
        for raw in objects(answer.get("items")):
            # An item of a list says neither its kind nor its version of the API.
            self.cache.pod_event(None, raw)
        return latest_pod(job, self.cache.pods_of(job.uid))


def _running_jobs(status: TrainingSessionStatus) -> frozenset[str]:
    """The Jobs whose end status still waits for."""
    if status.run is None:
        return frozenset()
    parts: list[Part] = [status.run.prepare, status.run.archive, *status.groups]
    return frozenset(part.job_name for part in parts if part.phase is GroupPhase.RUNNING)
