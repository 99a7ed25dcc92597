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
    """It has a deletion timestamp: neither there nor gone."""

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
        reason: The container's or the Job's reason, e.g. ``OOMKilled``.
        message: The termination message; None where it is missing or was not ours.
        memory_limit: The worker container's limit in bytes.
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


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod of a Job that has not started, as far as it says why.

    Attributes:
        job: Its Job's name.
        unschedulable: The scheduler's words where it finds no node; else empty.
        waiting_reason: Why a container waits, e.g. ``ImagePullBackOff``; else empty.
        waiting_message: The kubelet's words about it.
    """

    job: str
    unschedulable: str = ""
    waiting_reason: str = ""
    waiting_message: str = ""


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
class Observed:
    """Everything a plan depends on, but the time.

    Attributes:
        session: The session.
        jobs: Its Jobs of all runs, by name.
        config_maps: The names of its ConfigMaps.
        progress: Live figures by group key or stage name; may be empty.
        defaults: What the operator was started with.
        pods: Pods that have not started, by their Job's name.
    """

    session: SessionView
    jobs: Mapping[str, JobView]
    config_maps: frozenset[str]
    progress: Mapping[str, Progress]
    defaults: Defaults
    pods: Mapping[str, PodView] = field(default_factory=lambda: _EMPTY)


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


Action = CreateConfigMap | CreateJob | DeleteJob | DeleteConfigMap


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
