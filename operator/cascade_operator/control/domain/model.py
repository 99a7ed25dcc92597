"""What the planner sees and what it answers.

Observed objects are one-line summaries: the planner needs neither a Job's template nor a pod's
status, and a cache of summaries stays small with thousands of Jobs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from cascade_operator.api.problem import Problem
from cascade_operator.api.records import Progress, TerminationMessage
from cascade_operator.api.resolve import Defaults
from cascade_operator.api.session import TrainingSessionSpec
from cascade_operator.api.status import TrainingSessionStatus
from cascade_operator.control.domain.policies.publishing import PublishReason
from cascade_operator.control.manifests.published import PublishRequest

PROGRESS_SECONDS: Final = 30.0
"""How often a run with Jobs at work is looked at for live figures, and these are written."""

_EMPTY: Final[Mapping[str, Any]] = MappingProxyType({})


class JobState(StrEnum):
    """A Job's state, as far as the planner cares."""

    PENDING = "Pending"
    """Its pod has not started."""
    HELD = "Held"
    """A queue holds it back: it is suspended by another hand than the operator's."""
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    """Complete, and its pod has ended."""
    FAILED = "Failed"
    """Failed for good (each Job runs one pod), and its pod has ended."""
    DELETING = "Deleting"
    """Neither there nor gone: it has a deletion timestamp, or its end is decided and about to be
    told."""

    @property
    def ended(self) -> bool:
        """Whether its outcome can be read and it takes no memory any more."""
        return self in (JobState.SUCCEEDED, JobState.FAILED)


@dataclass(frozen=True, slots=True)
class JobView:
    """One Job of the session, of any run.

    Attributes:
        name: Its name.
        labels: Its labels; stage, group and archive kind are read from them.
        state: See ``JobState``.
        started: When its pod started.
        finished: When it ended.
        exit_code: The worker container's, where one ended.
        reason: Of a failed Job, in this order: ``OOMKilled`` of the container; the Job's condition
            where it says more than that a pod failed (``DeadlineExceeded``); the pod's own (e.g.
            ``Evicted``); the container's; the Job's condition.
        message: The termination message; None where it is missing or was not ours.
        memory_limit: The worker container's limit in bytes.
        pending_since: Of a pending Job, since when it waits for a pod that runs: it was made, its
            queue let it go, or its last pod was lost. None to count from the attempt's start.
    """

    name: str
    labels: Mapping[str, str]
    state: JobState
    started: datetime | None = None
    finished: datetime | None = None
    exit_code: int | None = None
    reason: str = ""
    message: TerminationMessage | None = None
    memory_limit: int = 0
    pending_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class PodView:
    """Why the pod of a pending Job does not run, as far as the cluster says it.

    Attributes:
        job: Its Job's name.
        unschedulable: The scheduler's words where it finds no node; else empty.
        waiting_reason: Why a container waits, e.g. ``ImagePullBackOff``; else empty.
        waiting_message: The kubelet's words about it.
        refused: The Job controller's words where it could not make the pod (the message of its
            ``FailedCreate`` event); empty once there is one.
        disrupted: Why the cluster took the Job's last pod away, e.g. ``DeletionByTaintManager:
            node n1 is lost``; empty where none was taken, or another runs.
    """

    job: str
    unschedulable: str = ""
    waiting_reason: str = ""
    waiting_message: str = ""
    refused: str = ""
    disrupted: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """That the API server would not have a child, the last time it was created.

    Attributes:
        reason: The API server's, e.g. ``Forbidden`` or ``Invalid``; ``NameConflict`` where the name
            belongs to something else.
        message: Its words.
        since: When it was first refused, of the refusals in a row that the adapter remembers.
    """

    reason: str
    message: str
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class SessionView:
    """A TrainingSession as it was read.

    Attributes:
        name: ``metadata.name``.
        namespace: ``metadata.namespace``.
        uid: ``metadata.uid``.
        generation: ``metadata.generation``.
        spec: The spec as written; None where it could not be read.
        problems: What is wrong with the spec; none may stand beside a usable one.
        status: The status last written.
        annotations: ``metadata.annotations``.
        resource_version: What a status write must still meet.
        deleting: It has a deletion timestamp.
    """

    name: str
    namespace: str
    uid: str
    generation: int
    spec: TrainingSessionSpec | None
    problems: tuple[Problem, ...]
    status: TrainingSessionStatus
    annotations: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    resource_version: str = ""
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class Publication:
    """What came of a request, as an adapter remembers it.

    Attributes:
        request: The request.
        reason: ``PUBLISHED``, ``CONFLICT`` or ``UNAVAILABLE``.
        time: When it was tried.
        message: Why not, and what to do; empty where it is published.
    """

    request: PublishRequest
    reason: PublishReason
    time: datetime
    message: str = ""


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything a plan depends on, but the time.

    Attributes:
        session: The session.
        jobs: Its Jobs of all runs, by name.
        config_maps: The names of its ConfigMaps.
        progress: Live figures by group key or stage name; may be empty.
        defaults: What the operator was started with.
        pods: What is known of the pods of pending Jobs, by their Job's name.
        refused: Children whose last ``create`` was refused, by name. An adapter keeps this in
            memory alone: it drops a name once a ``create`` of it succeeds.
        progress_seconds: How often live figures alone may be written. A cluster's store pays for
            each write; a single machine's does not.
        publication: What came of the session's last ``publish``; kept in memory alone.
        reads_any_redis: Whether programs are read from whatever Redis a session names: on its
            user's own machine, never in a cluster.
    """

    session: SessionView
    jobs: Mapping[str, JobView]
    config_maps: frozenset[str]
    progress: Mapping[str, Progress]
    defaults: Defaults
    pods: Mapping[str, PodView] = field(default_factory=lambda: _EMPTY)
    refused: Mapping[str, Refusal] = field(default_factory=lambda: _EMPTY)
    progress_seconds: float = PROGRESS_SECONDS
    publication: Publication | None = None
    reads_any_redis: bool = False


@dataclass(frozen=True, slots=True)
class CreateConfigMap:
    """Creates a ConfigMap from a raw manifest."""

    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CreateJob:
    """Creates a Job from a raw manifest."""

    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Deletes a Job of the session's namespace, and its pod with it."""

    name: str


@dataclass(frozen=True, slots=True)
class DeleteConfigMap:
    """Deletes a ConfigMap of the session's namespace."""

    name: str


@dataclass(frozen=True, slots=True)
class PublishProgram:
    """Publishes a program; its outcome is observed in the next turn."""

    request: PublishRequest


Action = CreateConfigMap | CreateJob | DeleteJob | DeleteConfigMap | PublishProgram


class EventType(StrEnum):
    """Kubernetes knows two types of events."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class Event:
    """An event on the session, emitted once the status that made it has been written."""

    type: EventType
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The next step.

    Attributes:
        actions: On children, in this order; they follow from the observed status alone.
        status: The whole status as it shall be.
        events: Of this step's transitions.
        requeue_after: Seconds after which time alone changes the plan; None where it does not.
    """

    actions: tuple[Action, ...]
    status: TrainingSessionStatus
    events: tuple[Event, ...]
    requeue_after: float | None
