"""Runs Jobs as processes, holds them to their memory and time, and tells when each has ended."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cascade_operator.local.job_process import JobProcess
from cascade_operator.local.memory_cgroup import JobCgroup, MemoryCgroups
from cascade_operator.local.memory_watchdog import POLL_SECONDS, watch_memory
from cascade_operator.local.process import OwnedProcess

GRACE_SECONDS: Final = 30.0
"""From SIGTERM to SIGKILL, a pod's default; workers leave within five."""

KILLED: Final = 128 + signal.SIGKILL


@dataclass(frozen=True, slots=True)
class JobEnd:
    """How a Job ended.

    Attributes:
        name: The Job's name.
        exit_code: The worker's; 128 plus the number for a signal.
        reason: Completed, Error, OOMKilled or DeadlineExceeded, as a pod's status says it.
    """

    name: str
    exit_code: int
    reason: str


@dataclass(slots=True)
class _Running:
    job: JobProcess
    process: OwnedProcess
    cgroup: JobCgroup | None
    task: asyncio.Task[None] | None = None
    over_limit: bool = False
    past_deadline: bool = False


class JobRunner:
    """The processes of one local cluster. Used from the thread of its event loop alone."""

    def __init__(
        self,
        on_end: Callable[[JobEnd], None],
        *,
        environment: Mapping[str, str],
        cgroups: MemoryCgroups | None,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        """Makes a runner; nothing runs yet.

        Args:
            on_end: Called in the loop's thread after a Job has ended and is cleaned up.
            environment: What every Job gets over this process's environment and the manifest's.
            cgroups: Where Jobs get cgroups; None to watch their memory instead.
            poll_seconds: Time between two looks of the watchdog.
        """
        self._on_end = on_end
        self._environment = dict(environment)
        self._cgroups = cgroups
        self._poll_seconds = poll_seconds
        self._running: dict[str, _Running] = {}
        self._watchdog: asyncio.Task[None] | None = None

    def start(self, job: JobProcess, log: Path) -> int:
        """Starts a Job.

        Args:
            job: What to run.
            log: Receives its standard output and error.

        Returns:
            Its process id.
        """
        job.scratch.mkdir(parents=True, exist_ok=True)
        job.termination_log.unlink(missing_ok=True)
        cgroup = None
        if self._cgroups is not None and job.memory_limit:
            cgroup = self._cgroups.create(job.name, job.memory_limit)
        process = OwnedProcess.start(
            f"the Job {job.name}",
            job.command,
            log=log,
            environment={**os.environ, **job.environment, **self._environment},
            death_signal=signal.SIGTERM,
            cgroup_procs=cgroup.procs if cgroup else None,
        )
        running = _Running(job, process, cgroup)
        self._running[job.name] = running
        running.task = asyncio.create_task(self._follow(running), name=f"job {job.name}")
        if self._watchdog is None:
            self._watchdog = asyncio.create_task(
                watch_memory(self._watched, self._kill, poll_seconds=self._poll_seconds)
            )
        return process.pid

    def signal(self, name: str, number: signal.Signals) -> None:
        """Sends a running Job a signal; one that has ended is fine."""
        if name in self._running:
            self._running[name].process.signal(number)

    async def stop(self, name: str, grace_seconds: float = GRACE_SECONDS) -> None:
        """Ends a Job and waits until ``on_end`` was called for it; one that has ended is fine."""
        running = self._running.get(name)
        if running is not None and running.task is not None:
            await running.process.stop(grace_seconds)
            await running.task

    async def close(self, grace_seconds: float) -> None:
        """Ends every Job, then the watchdog."""
        await asyncio.gather(*(self.stop(name, grace_seconds) for name in list(self._running)))
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None

    def _watched(self) -> dict[int, int]:
        """The limits nobody but the watchdog holds; a process's session has its own id."""
        return {
            running.process.pid: running.job.memory_limit
            for running in self._running.values()
            if running.cgroup is None and running.job.memory_limit
        }

    def _kill(self, pid: int) -> None:
        for running in self._running.values():
            if running.process.pid == pid:
                running.over_limit = True
                running.process.signal(signal.SIGKILL)

    async def _follow(self, running: _Running) -> None:
        deadline = running.job.deadline_seconds
        if deadline is None:
            code = await running.process.wait()
        else:
            try:
                code = await asyncio.wait_for(running.process.wait(), deadline)
            except TimeoutError:
                running.past_deadline = True
                code = await running.process.stop(GRACE_SECONDS)
        reason = self._reason(running, code)
        if running.cgroup is not None:
            await asyncio.to_thread(running.cgroup.remove)
        await asyncio.to_thread(shutil.rmtree, running.job.scratch, ignore_errors=True)
        del self._running[running.job.name]
        self._on_end(JobEnd(running.job.name, code, reason))

    def _reason(self, running: _Running, code: int) -> str:
        if code == 0:
            return "Completed"
        if running.past_deadline:
            return "DeadlineExceeded"
        by_kernel = running.cgroup is not None and running.cgroup.out_of_memory()
        if code == KILLED and (running.over_limit or by_kernel):
            return "OOMKilled"
        return "Error"
