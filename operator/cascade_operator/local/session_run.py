"""One command's run of one session: servers, cluster, and the planner's loop over them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cascade_operator.api.errors import ServiceUnavailable, SpecError
from cascade_operator.api.exit_codes import ExitCode
from cascade_operator.api.records import PrepareResult, Progress
from cascade_operator.api.session import TrainingSession
from cascade_operator.api.status import TrainingSessionStatus
from cascade_operator.control.domain.model import JobView
from cascade_operator.control.kube.live_figures import LiveFigures
from cascade_operator.control.kube.port import RefusedError, SessionKey
from cascade_operator.control.loop.reconcile import reconcile_once
from cascade_operator.local.cluster import LocalCluster
from cascade_operator.local.embedded import (
    LOCAL_DEFAULTS,
    EmbeddedServers,
    embedded_servers,
)
from cascade_operator.local.job_process import WORKER
from cascade_operator.local.job_runner import GRACE_SECONDS
from cascade_operator.local.memory_cgroup import find_memory_cgroups
from cascade_operator.local.outcome import exit_code_of, is_settled, stalled_error
from cascade_operator.local.session_setup import (
    annotations_for,
    fit_to_machine,
    job_environment,
    password_file,
    take_up_failed_run,
)
from cascade_operator.local.session_store import StoredSession
from cascade_operator.local.state import StateFolder, state_errors

_TICK_SECONDS: Final = 1.0
_COALESCING_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """One look at a run.

    Attributes:
        status: The session's status, as a cluster would hold it.
        progress: Live figures by stage name or group key.
        jobs: The session's Jobs by name.
        notes: What a reader should know about running here.
    """

    status: TrainingSessionStatus
    progress: Mapping[str, Progress]
    jobs: Mapping[str, JobView]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How the command ended.

    Attributes:
        status: The session's status at the end.
        exit_code: What the command should end with.
        archives: The run's archive files.
        session_id: The run's id; empty if none was started.
    """

    status: TrainingSessionStatus
    exit_code: ExitCode
    archives: tuple[Path, ...]
    session_id: str


async def run_session(
    session: TrainingSession,
    base_dir: Path,
    state: Path,
    *,
    on_update: Callable[[RunSnapshot], None],
    stop: asyncio.Event,
    retrain: bool,
    worker: Sequence[str] = WORKER,
) -> RunOutcome:
    """Runs a session to its end, or until it is stopped; an unfinished run is resumed.

    A failed run goes on where it failed; a new one starts where the session changed or ``retrain``
    says so. Cancelling kills what runs; the next command resumes from the last checkpoints.

    Args:
        session: The session as its user wrote it.
        base_dir: Where its relative paths begin.
        state: The state folder.
        on_update: Called about once a second and at each change.
        stop: When set, Jobs are told to save and leave, and the command ends with 143.
        retrain: Whether to start a new run although the session has not changed.
        worker: The program that runs a Job.

    Raises:
        SpecError: The session asks for what cannot be had here.
        DataError: Its trace file is missing.
        ServiceUnavailable: An embedded server does not start, or the state folder is in use.
        StateWriteError: The state folder cannot be written; Jobs have saved what they could.
    """
    with state_errors(state.resolve()):
        folder = StateFolder.at(state)
    with state_errors(folder.path), folder.lock():
        stored = StoredSession.open(folder, session)
        stored.annotations = annotations_for(stored, retrain=retrain)
        take_up_failed_run(stored, datetime.now(UTC))
        if is_settled(stored.view()):
            on_update(RunSnapshot(stored.status, {}, {}, ()))
            return _outcome(stored, {}, folder, stopped=False)
        environment = job_environment(session, base_dir, folder)
        async with embedded_servers(session.spec, folder) as servers:
            run = _LocalRun(
                stored,
                folder,
                servers=servers,
                environment=environment,
                on_update=on_update,
                worker=worker,
            )
            return await run.drive(stop)


class _LocalRun:
    """The planner's loop over a local cluster."""

    def __init__(
        self,
        stored: StoredSession,
        folder: StateFolder,
        *,
        servers: EmbeddedServers,
        environment: Mapping[str, str],
        on_update: Callable[[RunSnapshot], None],
        worker: Sequence[str],
    ) -> None:
        self._stored = stored
        self._folder = folder
        self._keeper = servers.keeper
        self._on_update = on_update
        self._pause = 0.0
        self._notes = fit_to_machine(stored)
        password = password_file(stored.session, folder)
        self._progress = LiveFigures(
            servers.redis_url,
            password=None if password is None else password.read_text(encoding="utf-8").strip(),
        )
        self._cluster = LocalCluster(
            folder,
            stored,
            defaults=LOCAL_DEFAULTS,
            progress=self._progress,
            environment={**environment, **servers.environment},
            cgroups=find_memory_cgroups(os.environ),
            worker=worker,
        )
        self._key = SessionKey(stored.namespace, stored.name)

    async def drive(self, stop: asyncio.Event) -> RunOutcome:
        """Plans until the session is settled or stopped."""
        grace = 0.0  # for Jobs of a command that was cancelled or failed
        try:
            while not stop.is_set():
                self._keeper.check()
                if await self._plan():
                    await asyncio.sleep(_COALESCING_SECONDS)
                elif is_settled(self._stored.view()):
                    break
                else:
                    await _first_of(
                        self._cluster.changed, stop, self._keeper.broken, seconds=self._pause
                    )
            # A Job cut short is forgotten, while status says it runs: so the planner makes the
            # same attempt again when the session is resumed.
            grace = GRACE_SECONDS
        except (ServiceUnavailable, OSError):
            grace = (
                GRACE_SECONDS  # a server or the disk is gone; what Jobs can still save they save
            )
            raise
        finally:
            await self._cluster.close(grace_seconds=grace)
            await self._progress.close()
        return _outcome(self._stored, self._cluster.jobs(), self._folder, stopped=stop.is_set())

    async def _plan(self) -> bool:
        """Plans once and shows the result.

        Returns:
            Whether something was written or created: as much reason to plan again at once as an
            event is for a watching operator.
        """
        before = self._cluster.revision
        self._cluster.changed.clear()
        try:
            requeue = await reconcile_once(self._cluster, self._key, datetime.now(UTC))
        except RefusedError as error:
            raise SpecError(str(error)) from error
        self._pause = _TICK_SECONDS if requeue is None else min(requeue, _TICK_SECONDS)
        observed = await self._cluster.observe(self._key)
        if observed is not None:
            progress, jobs = observed.progress, observed.jobs
            prepared = _prepared(self._stored.status, jobs)
            notes = (*self._notes, *prepared, *self._keeper.notes)
            self._on_update(RunSnapshot(self._stored.status, progress, jobs, notes))
        stalled = stalled_error(self._stored.status)
        if stalled is not None:
            raise stalled
        return self._cluster.revision != before


async def _first_of(*events: asyncio.Event, seconds: float) -> None:
    """Waits for the first of some events, or until the time is over."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for future in waiting:
            future.cancel()


def _prepared(status: TrainingSessionStatus, jobs: Mapping[str, JobView]) -> tuple[str, ...]:
    """What the run's prepare said when it ended: the records, and what it filled in."""
    job = None if status.run is None else jobs.get(status.run.prepare.job_name)
    if job is None or not isinstance(job.message, PrepareResult):
        return ()
    said, split = job.message, job.message.split
    records = (
        f"{said.records} records: {split.training} to propose from, "
        f"{split.validation} to select by, {split.held_out} held out; "
        f"{said.rejected} rows put aside, {said.duplicates} duplicates"
    )
    return (records, *said.imputed)


def _outcome(
    stored: StoredSession, jobs: Mapping[str, JobView], folder: StateFolder, *, stopped: bool
) -> RunOutcome:
    status, claim = stored.status, stored.session.spec.archive.persistent_volume_claim
    volume = folder.volume(claim.claim_name) / claim.sub_path
    return RunOutcome(
        status=status,
        exit_code=exit_code_of(status, jobs, stopped=stopped),
        archives=tuple(volume / archive.path for archive in status.archives),
        session_id=status.run.session_id if status.run is not None else "",
    )
