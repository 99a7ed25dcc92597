"""Stage 90: a cluster of one machine and one session; Jobs are processes (see the port)."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cascade_operator.api.errors import SpecError
from cascade_operator.api.resolve import Defaults
from cascade_operator.api.status import TrainingSessionStatus
from cascade_operator.control.domain.model import (
    Event,
    EventType,
    JobView,
    Observed,
    Publication,
    SessionView,
)
from cascade_operator.control.kube.live_figures import LiveFigures, LiveRun
from cascade_operator.control.kube.port import (
    ChildKind,
    NameConflictError,
    NotFoundError,
    RefusedError,
    SessionKey,
)
from cascade_operator.control.kube.publisher import Publisher
from cascade_operator.control.manifests.labels import SESSION_UID
from cascade_operator.control.manifests.published import PublishRequest
from cascade_operator.local.job_process import WORKER, JobFolders, read_job
from cascade_operator.local.job_records import JobRecord, JobRecords
from cascade_operator.local.job_runner import GRACE_SECONDS, JobEnd, JobRunner
from cascade_operator.local.memory_cgroup import MemoryCgroups
from cascade_operator.local.orphans import ProcessIdentity, end_orphan
from cascade_operator.local.published import ConfigMapFolders
from cascade_operator.local.session_store import StoredSession
from cascade_operator.local.state import StateFolder, checked_name, write_atomically

_LOG = logging.getLogger(__name__)
_ORPHAN_GRACE: Final = 10.0
_PROGRESS_SECONDS: Final = 1.0
"""As often as the command looks: its views show percent and estimate out of the status."""


class LocalCluster:
    """Implements the cluster port for one session. Used from its event loop's thread alone.

    Attributes:
        changed: Set when a Job has ended or is gone; whoever waits clears it.
        revision: Counts what was written, created and deleted.
    """

    def __init__(
        self,
        state: StateFolder,
        stored: StoredSession,
        *,
        defaults: Defaults,
        progress: LiveFigures,
        environment: Mapping[str, str],
        cgroups: MemoryCgroups | None,
        worker: Sequence[str] = WORKER,
    ) -> None:
        """Takes over what an earlier command left in the state folder.

        Args:
            state: The state folder; its lock is held by the caller.
            stored: The session.
            defaults: What the planner fills a spec's gaps with.
            progress: Reads live figures.
            environment: What every Job gets beside its manifest's environment.
            cgroups: Where Jobs get cgroups; None to watch their memory instead.
            worker: The program that runs a Job.
        """
        self.changed = asyncio.Event()
        self.revision = 0
        self._state = state
        self._stored = stored
        self._defaults = defaults
        self._progress = progress
        self._publisher = Publisher(ConfigMapFolders(state.config_maps(stored.name)), progress)
        self._publication: Publication | None = None
        self._worker = worker
        self._records = JobRecords(state.jobs(stored.name))
        self._runner = JobRunner(self._job_ended, environment=environment, cgroups=cgroups)
        self._deleting: dict[str, asyncio.Task[None]] = {}
        self._jobs = self._take_over()
        if cgroups is not None:
            cgroups.sweep()

    async def observe(self, key: SessionKey) -> Observed | None:
        """Reads the session, its Jobs and live figures; None for any other session."""
        if key != SessionKey(self._stored.namespace, self._stored.name):
            return None
        jobs = self.jobs()
        run = LiveRun.of(self._stored.uid, self._stored.status)
        figures = await self._progress.read([run]) if run is not None else {}
        return Observed(
            session=self._stored.view(),
            jobs=jobs,
            config_maps=self._config_maps(),
            progress=figures.get(self._stored.uid, {}),
            defaults=self._defaults,
            progress_seconds=_PROGRESS_SECONDS,
            publication=self._publication,
            reads_any_redis=True,
        )

    def jobs(self) -> dict[str, JobView]:
        """The session's Jobs of all runs, by name."""
        return {
            name: self._records.view(record, deleting=name in self._deleting)
            for name, record in self._jobs.items()
        }

    async def create(self, manifest: Mapping[str, Any]) -> None:
        """Starts a Job's process, or writes a ConfigMap's files.

        Raises:
            NameConflictError: The name's holder is another's, or is being deleted.
            RefusedError: The manifest needs what a process here cannot have.
        """
        try:
            if manifest["kind"] == "ConfigMap":
                self._create_config_map(manifest)
            else:
                self._create_job(manifest)
        except SpecError as error:
            message = f"{error}; {error.mend}" if error.mend else str(error)
            raise RefusedError(message, reason="Invalid") from error

    async def delete(self, kind: ChildKind, session: SessionView, name: str) -> None:
        """Removes a ConfigMap, or ends a Job: it stays, as deleting, until its process ended."""
        del session
        if kind == "ConfigMap":
            folder = self._state.config_maps(self._stored.name) / checked_name(name)
            shutil.rmtree(folder, ignore_errors=True)
        elif name in self._jobs and name not in self._deleting:
            self.revision += 1
            self._deleting[name] = asyncio.create_task(self._end_job(name), name=f"delete {name}")

    async def publish(self, request: PublishRequest) -> None:
        """Writes a program's files beside the session's ConfigMaps."""
        self._publication = await self._publisher.publish(request)
        self.revision += 1

    async def write_status(self, session: SessionView, status: TrainingSessionStatus) -> None:
        """Replaces the session's status, also in ``status.yaml``.

        Raises:
            ConflictError: ``session`` is not the newest view.
            NotFoundError: It is not the session this cluster serves.
        """
        if session.uid != self._stored.uid:
            raise NotFoundError(f"no session {session.name} is here")
        self._stored.write_status(session, status)
        self.revision += 1

    async def emit(self, session: SessionView, event: Event) -> None:
        """Logs an event, and keeps it in the run's logs."""
        del session
        level = logging.WARNING if event.type is EventType.WARNING else logging.INFO
        _LOG.log(level, "%s: %s", event.reason, event.message)
        line = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {event.type} {event.reason}: "
        with suppress(OSError), self._log_file("events").open("a", encoding="utf-8") as stream:
            stream.write(f"{line}{event.message}\n")

    async def close(self, *, grace_seconds: float = GRACE_SECONDS) -> None:
        """Ends what still runs. A Job cut short is forgotten, so that it is made again."""
        active = [name for name, record in self._jobs.items() if record.finished is None]
        await self._runner.close(grace_seconds)
        await asyncio.gather(*self._deleting.values())
        for name in active:
            if name in self._jobs and self._jobs[name].exit_code != 0:
                with suppress(OSError):  # a process that is gone is forgotten by the next command
                    self._records.remove(name)
                del self._jobs[name]

    def _take_over(self) -> dict[str, JobRecord]:
        """Reads the Jobs of earlier commands; ends what a killed one left running."""
        known = {}
        for name, record in self._records.load().items():
            if record.finished is not None:
                known[name] = record
                continue
            if record.process is not None:
                end_orphan(record.process, grace_seconds=_ORPHAN_GRACE)
            # Its outcome was seen by nobody: the same attempt is made again and resumes.
            self._records.remove(name)
        return known

    def _create_config_map(self, manifest: Mapping[str, Any]) -> None:
        name = checked_name(manifest["metadata"]["name"])
        folder = self._state.config_maps(self._stored.name) / name
        if name in self._config_maps():
            return
        folder.mkdir(parents=True, exist_ok=True)
        self.revision += 1
        for key, text in manifest.get("data", {}).items():
            write_atomically(folder / checked_name(key), text)

    def _config_maps(self) -> frozenset[str]:
        folder = self._state.config_maps(self._stored.name)
        return frozenset(entry.name for entry in folder.iterdir() if any(entry.iterdir()))

    def _create_job(self, manifest: Mapping[str, Any]) -> None:
        name = manifest["metadata"]["name"]
        held = self._jobs.get(name)
        if held is not None:
            owner = manifest["metadata"].get("labels", {}).get(SESSION_UID)
            ours = held.labels.get(SESSION_UID) == owner
            if ours and name not in self._deleting:
                return
            raise NameConflictError(f"a Job {name} is being deleted or belongs to another session")
        folders = JobFolders(self._state, self._stored.name, self._session_id())
        job = read_job(manifest, folders, worker=self._worker)
        self.revision += 1
        pid = self._runner.start(job, self._log_file(job.name))
        record = JobRecord(
            name=job.name,
            labels=dict(job.labels),
            memory_limit=job.memory_limit,
            process=ProcessIdentity.of(pid),
            started=datetime.now(UTC),
        )
        self._jobs[job.name] = record
        self._records.save(record)

    def _job_ended(self, end: JobEnd) -> None:
        record = self._jobs[end.name].model_copy(
            update={
                "process": None,
                "finished": datetime.now(UTC),
                "exit_code": end.exit_code,
                "reason": end.reason,
            }
        )
        self._jobs[end.name] = record
        try:
            self._records.save(record)
        except OSError as error:
            # Known here, and to nobody else: another command makes the same attempt again, which
            # finds its result in Redis.
            _LOG.warning("what became of %s cannot be kept: %s", end.name, error.strerror)
        self.changed.set()

    async def _end_job(self, name: str) -> None:
        """Ends a Job that is being deleted, then forgets it, as a cluster does with its pod."""
        await self._runner.stop(name)
        with suppress(OSError):
            self._records.remove(name)
        del self._jobs[name], self._deleting[name]
        self.changed.set()

    def _session_id(self) -> str:
        run = self._stored.status.run
        return run.session_id if run is not None and run.session_id else "no-run"

    def _log_file(self, name: str) -> Path:
        return self._state.logs(self._session_id()) / f"{name}.log"
