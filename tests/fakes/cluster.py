"""An in-memory cluster behind the operator's port: Jobs end when a test says so, and how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cascade_operator.api.cascade import CascadeSpec, NodeSpec, TierSpec
from cascade_operator.api.published import program_digest
from cascade_operator.api.quantity import parse_quantity
from cascade_operator.api.records import (
    ArchiveResult,
    GroupResult,
    PrepareResult,
    Progress,
    TerminationMessage,
)
from cascade_operator.api.resolve import Defaults
from cascade_operator.api.session import TrainingSessionSpec
from cascade_operator.api.status import ArchiveStatus, ProgramStatus, TrainingSessionStatus
from cascade_operator.api.traces_spec import TracesClaim, TracesSpec
from cascade_operator.control.domain.model import (
    Event,
    JobState,
    JobView,
    Observed,
    PodView,
    Publication,
    Refusal,
    SessionView,
)
from cascade_operator.control.domain.policies.publishing import PublishReason
from cascade_operator.control.kube.port import (
    ConflictError,
    NameConflictError,
    NotFoundError,
    RefusedError,
    SessionKey,
)
from cascade_operator.control.loop.reconcile import reconcile_once
from cascade_operator.control.manifests import labels
from cascade_operator.control.manifests.published import (
    PublishRequest,
    build_published,
    is_published,
    may_replace,
)

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
UID = "5f0c1a52-0000-4000-8000-000000000001"
KEY = SessionKey("team", "triage")
PROGRAM = b'{"n0":{"demos":[],"signature":{"instructions":"Say it."}},"metadata":{}}'
OVER_QUOTA = Refusal("Forbidden", "exceeded quota: jobs, requested: 1, used: 5, limited: 5")


def cascade_of(nodes: int) -> CascadeSpec:
    """A chain of nodes ``n0``, ``n1``, ... of one tier each."""
    tiers = [
        TierSpec(
            name=f"t{i}", code=i, nodes=[NodeSpec(name=f"n{i}", signature=f"f{i} -> f{i + 1}")]
        )
        for i in range(nodes)
    ]
    return CascadeSpec(tiers=tiers)


def spec_of(nodes: int = 2, **changes: Any) -> TrainingSessionSpec:
    """A session of so many nodes with traces on a volume."""
    claim = TracesClaim(claim_name="traces")
    base = TrainingSessionSpec(
        cascade=cascade_of(nodes), traces=TracesSpec(persistent_volume_claim=claim)
    )
    return base.model_copy(update=changes)


@dataclass(frozen=True)
class Outcome:
    """How a Job ends."""

    exit_code: int | None = 0
    reason: str = ""
    message: TerminationMessage | None = None
    silent: bool = False
    """A success whose termination message is missing."""


SUCCESS = Outcome()


def part_of(job: JobView) -> str:
    """``prepare``, ``archive`` or a group's key."""
    return job.labels.get(labels.GROUP) or job.labels[labels.STAGE]


@dataclass
class FakeCluster:
    """One session and its children; implements ``ClusterPort``."""

    spec: TrainingSessionSpec | None = field(default_factory=spec_of)
    problems: tuple[Any, ...] = ()
    status: TrainingSessionStatus = field(default_factory=TrainingSessionStatus)
    annotations: dict[str, str] = field(default_factory=dict)
    generation: int = 1
    deleting: bool = False
    now: datetime = START
    jobs: dict[str, JobView] = field(default_factory=dict)
    manifests: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    config_maps: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    progress: dict[str, Progress] = field(default_factory=dict)
    pods: dict[str, PodView] = field(default_factory=dict)
    defaults: Defaults = field(default_factory=Defaults)
    events: list[Event] = field(default_factory=list)
    created: Counter[str] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)
    writes: int = 0
    most_jobs: int = 0
    most_memory: int = 0
    foreign_names: set[str] = field(default_factory=set)
    refused_names: set[str] = field(default_factory=set)
    refusal: Refusal = OVER_QUOTA
    refused: dict[str, Refusal] = field(default_factory=dict)
    program: bytes | None = PROGRAM
    published: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    published_writes: int = 0
    publication: Publication | None = None
    gone: bool = False
    before_status_write: Callable[[], None] = lambda: None
    version: int = 1

    # The port.

    async def observe(self, key: SessionKey) -> Observed | None:
        return None if self.gone else self.seen(key)

    async def create(self, manifest: Mapping[str, Any]) -> None:
        name = manifest["metadata"]["name"]
        if name in self.foreign_names:
            self._refuse(name, Refusal("NameConflict", f"{name} belongs to something else"))
            raise NameConflictError(f"{name} belongs to something else")
        if name in self.refused_names:
            self._refuse(name, self.refusal)
            raise RefusedError(f"{name}: {self.refusal.message}", reason=self.refusal.reason)
        assert manifest["metadata"]["ownerReferences"][0]["uid"] == UID
        store = self.config_maps if manifest["kind"] == "ConfigMap" else self.manifests
        if name in self.jobs and self.jobs[name].state is JobState.DELETING:
            raise NameConflictError(f"{name} is being deleted")
        self.refused.pop(name, None)
        if name in store:
            return
        store[name] = manifest
        if manifest["kind"] == "Job":
            self._create_job(name, manifest)

    async def delete(self, kind: str, session: SessionView, name: str) -> None:
        assert session.namespace == KEY.namespace
        if kind == "ConfigMap":
            self.config_maps.pop(name, None)
        elif name in self.jobs:
            self.jobs[name] = replace(self.jobs[name], state=JobState.DELETING)

    async def publish(self, request: PublishRequest) -> None:
        reason, message = self._publish(request)
        self.publication = Publication(request, reason, self.now, message)

    async def write_status(self, session: SessionView, status: TrainingSessionStatus) -> None:
        self.before_status_write()
        if self.gone:
            raise NotFoundError(session.name)
        if session.resource_version != str(self.version):
            raise ConflictError(session.name)
        # Through its serialised form, as a real cluster would keep it.
        self.status = TrainingSessionStatus.model_validate_json(
            status.model_dump_json(by_alias=True)
        )
        # What no field can hold an API server would refuse.
        assert self.status == status
        self.version += 1
        self.writes += 1

    async def emit(self, session: SessionView, event: Event) -> None:
        self.events.append(event)

    # What a test does to it.

    def seen(self, key: SessionKey = KEY) -> Observed:
        """What the operator would observe now."""
        session = SessionView(
            name=key.name,
            namespace=key.namespace,
            uid=UID,
            generation=self.generation,
            spec=self.spec,
            problems=self.problems,
            status=self.status,
            annotations=dict(self.annotations),
            resource_version=str(self.version),
            deleting=self.deleting,
        )
        names = frozenset(self.config_maps)
        jobs, pods = dict(self.jobs), dict(self.pods)
        return Observed(
            session,
            jobs,
            names,
            dict(self.progress),
            self.defaults,
            pods,
            dict(self.refused),
            publication=self.publication,
        )

    async def settle(self) -> float | None:
        """Reconciles until nothing more is written; the time stands still."""
        for _ in range(200):
            before = self.written()
            wait = await reconcile_once(self, KEY, self.now)
            if before == self.written():
                return wait
        raise AssertionError("the plan does not settle")

    def pass_time(self, seconds: float) -> None:
        """Lets time pass."""
        self.now += timedelta(seconds=seconds)

    def live(self) -> list[str]:
        """Names of the Jobs at work, in creation order."""
        return [n for n, job in self.jobs.items() if not job.state.ended]

    def end(self, name: str, outcome: Outcome = SUCCESS) -> None:
        """Ends a Job."""
        job = self.jobs[name]
        ok = outcome.exit_code == 0
        message = outcome.message
        if ok and message is None and not outcome.silent:
            message = self._message(name)
        self.jobs[name] = replace(
            job,
            state=JobState.SUCCEEDED if ok else JobState.FAILED,
            finished=self.now,
            exit_code=outcome.exit_code,
            reason=outcome.reason or ("Completed" if ok else "Error"),
            message=message,
        )

    def put_off(self, name: str, pod: PodView | None = None, *, held: bool = False) -> None:
        """Has a Job wait: for what its pod says, or held by a queue."""
        state = JobState.HELD if held else JobState.PENDING
        self.jobs[name] = replace(self.jobs[name], state=state, started=None)
        if pod is not None:
            self.pods[name] = pod

    def run(self, name: str) -> None:
        """Has a Job that waited run."""
        self.jobs[name] = replace(self.jobs[name], state=JobState.RUNNING, started=self.now)
        self.pods.pop(name, None)

    def remove(self, name: str) -> None:
        """Has a Job gone, whatever became of it."""
        del self.jobs[name], self.manifests[name]
        self.removed[name] += 1

    def arguments(self, name: str) -> list[str]:
        """The worker's arguments of a Job that is there."""
        args: list[str] = self.manifests[name]["spec"]["template"]["spec"]["containers"][0]["args"]
        return args

    def reasons(self) -> list[str]:
        """The reasons of the events so far."""
        return [event.reason for event in self.events]

    def written(self) -> tuple[Any, ...]:
        """What a turn may change."""
        children = (dict(self.jobs), dict(self.config_maps), self.published_writes)
        return (self.version, *children, dict(self.refused), self.publication)

    def _publish(self, request: PublishRequest) -> tuple[PublishReason, str]:
        existing = self.published.get(request.config_map)
        if existing is not None:
            if refusal := may_replace(existing, request):
                return PublishReason.CONFLICT, refusal
            if is_published(existing, request):
                return PublishReason.PUBLISHED, ""
        try:
            manifest = build_published(request, self.program or b"")
        except ValueError as error:
            return PublishReason.UNAVAILABLE, str(error)
        self.published[request.config_map] = manifest
        self.published_writes += 1
        return PublishReason.PUBLISHED, ""

    def _refuse(self, name: str, refusal: Refusal) -> None:
        earlier = self.refused.get(name)
        since = earlier.since if earlier is not None else self.now
        self.refused[name] = replace(refusal, since=since)

    def _create_job(self, name: str, manifest: Mapping[str, Any]) -> None:
        container = manifest["spec"]["template"]["spec"]["containers"][0]
        self.created[name] += 1
        self.jobs[name] = JobView(
            name=name,
            labels=manifest["metadata"]["labels"],
            state=JobState.RUNNING,
            started=self.now,
            memory_limit=parse_quantity(container["resources"]["limits"]["memory"]),
        )
        live = [job for job in self.jobs.values() if not job.state.ended]
        self.most_jobs = max(self.most_jobs, len(live))
        self.most_memory = max(self.most_memory, sum(job.memory_limit for job in live))

    def _message(self, name: str) -> TerminationMessage:
        part = part_of(self.jobs[name])
        if part == "prepare":
            return PrepareResult(records=10, restored_groups=self._archived())
        if part == "archive":
            args = self.arguments(name)
            given = [key for key in args[args.index("--groups") + 1].split(",") if key]
            return archive_result(given, final="final" in args)
        return group_result(part)

    def _archived(self) -> list[str]:
        return [] if self.status.run is None else list(self.status.run.archived_groups)


def group_result(key: str, **changes: Any) -> GroupResult:
    """Figures that depend on the group alone."""
    rank = sum(2 ** int(p) for p in key.split("_"))
    result = GroupResult(
        group=key,
        trials=10,
        baseline=0.25,
        score=0.25 + rank / 100,
        held_out=0.25 + rank / 200,
        baseline_held_out=0.25,
        peak_memory=300 * 1024**2,
    )
    return result.model_copy(update=changes)


def archive_result(keys: list[str], *, final: bool = False) -> ArchiveResult:
    """An archive Job's word: one file a group size."""
    sizes = sorted({len(key.split("_")) for key in keys})
    archives = [
        ArchiveStatus(group_size=n, path=f"size{n:02d}.tar.zst", sha256="0" * 64, bytes=n)
        for n in sizes
    ]
    program = None
    if final and keys:
        best = max(keys, key=lambda key: group_result(key).score)
        program = ProgramStatus(group=best, sha256=program_digest(PROGRAM), bytes=len(PROGRAM))
    return ArchiveResult(final=final, archives=archives, groups=keys, program=program)
