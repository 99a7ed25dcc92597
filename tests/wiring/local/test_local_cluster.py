from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cascade_operator.api.resolve import Defaults
from cascade_operator.api.session import TrainingSession
from cascade_operator.api.status import RunStatus, TrainingSessionStatus
from cascade_operator.control.domain.model import Event, EventType, JobState
from cascade_operator.control.kube.live_figures import LiveFigures
from cascade_operator.control.kube.port import (
    ConflictError,
    NameConflictError,
    NotFoundError,
    RefusedError,
    SessionKey,
)
from cascade_operator.control.manifests.config_map import build_config_map
from cascade_operator.control.manifests.job import JobRequest, build_job
from cascade_operator.control.manifests.labels import Owner
from cascade_operator.local.cluster import LocalCluster
from cascade_operator.local.job_records import JobRecord, JobRecords
from cascade_operator.local.memory_cgroup import find_memory_cgroups
from cascade_operator.local.orphans import ProcessIdentity
from cascade_operator.local.session_store import StoredSession
from cascade_operator.local.state import StateFolder
from fakes import local_worker

pytestmark = pytest.mark.process

MIB = 1024**2
KEY = SessionKey("default", "triage")
SESSION = TrainingSession.model_validate(
    {
        "apiVersion": "cascade-operator.dev/v1alpha1",
        "kind": "TrainingSession",
        "metadata": {"name": "triage"},
        "spec": {"traces": {"persistentVolumeClaim": {"claimName": "traces"}}},
    }
)
RUN = RunStatus(
    number=1,
    session_id="20260101T000000Z",
    spec_hash="v1-0",
    start_time=datetime(2026, 1, 1, tzinfo=UTC),
)


@asynccontextmanager
async def cluster_at(folder: Path, script: dict, **options):
    """A cluster whose Jobs do what a script says; ended, with its Jobs, on leaving."""
    file = folder / "script.json"
    file.write_text(json.dumps(script))
    state = StateFolder.at(folder / "state")
    stored = StoredSession.open(state, SESSION)
    if stored.status.run is None:
        stored.write_status(stored.view(), TrainingSessionStatus(run=RUN))
    progress = LiveFigures("unix:///nonexistent.sock")
    cluster = LocalCluster(
        state,
        stored,
        defaults=Defaults(),
        progress=progress,
        environment={"FROM_THE_COMMAND": "yes"} | options.pop("environment", {}),
        cgroups=options.pop("cgroups", None),
        worker=[sys.executable, "-I", "-S", local_worker.__file__, str(file)],
    )
    try:
        yield cluster
    finally:
        await cluster.close(grace_seconds=5)
        await progress.close()


def _job(uid, *, group="00", limit=256 * MIB, deadline=600, **spec):
    request = JobRequest(
        owner=Owner("triage", "default", uid),
        run=1,
        name=f"triage-r1-{group}",
        stage="group",
        attempt=1,
        arguments=("--group", group),
        memory_limit=limit,
        active_deadline_seconds=deadline,
        group=group,
    )
    resolved = SESSION.spec.model_copy(update=spec)
    return build_job(request, resolved)


async def _uid(cluster):
    return (await cluster.observe(KEY)).session.uid


async def _until(cluster, condition):
    """Waits for the cluster's own signal until its Jobs are as wanted."""
    async with asyncio.timeout(60):
        while not condition(cluster.jobs()):
            await cluster.changed.wait()
            cluster.changed.clear()
    return cluster.jobs()


async def _appears(file: Path) -> str:
    async with asyncio.timeout(60):
        while not (file.exists() and file.read_text()):
            await asyncio.sleep(0.02)
    return file.read_text()


def _ended(jobs):
    return jobs and all(job.state.ended for job in jobs.values())


@pytest.mark.parametrize(
    ("step", "state", "code", "reason"),
    [
        ({}, JobState.SUCCEEDED, 0, "Completed"),
        ({"exit": 69}, JobState.FAILED, 69, "Error"),
    ],
    ids=["done", "failed"],
)
def test_a_jobs_outcome_is_seen_and_survives_the_command(tmp_path, step, state, code, reason):
    async def run():
        async with cluster_at(tmp_path, {"group": [step]}) as cluster:
            await cluster.create(_job(await _uid(cluster)))
            await _until(cluster, _ended)
        async with cluster_at(tmp_path, {}) as cluster:
            return (await cluster.observe(KEY)).jobs

    (job,) = asyncio.run(run()).values()
    assert (job.state, job.exit_code, job.reason) == (state, code, reason)
    assert job.message.group == "00"
    assert job.memory_limit == 256 * MIB
    assert job.labels["cascade-operator.dev/group"] == "00"
    assert job.started <= job.finished


def test_a_worker_sees_this_machines_folders_and_its_output_is_kept(tmp_path):
    async def run():
        async with cluster_at(tmp_path, {}) as cluster:
            await cluster.create(_job(await _uid(cluster)))
            await _until(cluster, _ended)

    asyncio.run(run())
    environment = json.loads((tmp_path / "group-00.environment").read_text())
    assert environment["FROM_THE_COMMAND"] == "yes"
    assert environment["CASCADE_CONFIG"].startswith(str(tmp_path / "state"))
    assert environment["PATH"] == os.environ["PATH"]
    run_folder = tmp_path / "state/runs/20260101T000000Z"
    assert (run_folder / "logs/triage-r1-00.log").read_text() == "started group/00\n"
    assert list((run_folder / "scratch").iterdir()) == []


def test_what_the_command_adds_wins_over_the_manifest(tmp_path):
    async def run():
        url = {"CASCADE_REDIS_URL": "unix:///the/real.sock"}
        async with cluster_at(tmp_path, {}, environment=url) as cluster:
            await cluster.create(_job(await _uid(cluster)))
            await _until(cluster, _ended)

    asyncio.run(run())
    environment = json.loads((tmp_path / "group-00.environment").read_text())
    assert environment["CASCADE_REDIS_URL"] == "unix:///the/real.sock"


def test_a_job_over_its_memory_limit_is_killed_as_a_kubelet_would(tmp_path):
    async def run():
        script = {"group": [{"allocate": 120 * MIB, "hang": True}]}
        async with cluster_at(tmp_path, script) as cluster:
            await cluster.create(_job(await _uid(cluster), limit=60 * MIB))
            return await _until(cluster, _ended)

    (job,) = asyncio.run(run()).values()
    assert (job.state, job.exit_code, job.reason) == (JobState.FAILED, 137, "OOMKilled")


def test_a_job_that_is_killed_by_someone_else_is_not_called_out_of_memory(tmp_path):
    async def run():
        async with cluster_at(tmp_path, {"group": [{"hang": True}]}) as cluster:
            await cluster.create(_job(await _uid(cluster)))
            os.kill(int(await _appears(tmp_path / "group-00.hangs")), signal.SIGKILL)
            return await _until(cluster, _ended)

    (job,) = asyncio.run(run()).values()
    assert (job.exit_code, job.reason) == (137, "Error")


def test_the_backstop_ends_a_job_past_its_deadline(tmp_path):
    async def run():
        async with cluster_at(tmp_path, {"group": [{"hang": True}]}) as cluster:
            await cluster.create(_job(await _uid(cluster), deadline=0.5))
            return await _until(cluster, _ended)

    (job,) = asyncio.run(run()).values()
    assert (job.state, job.reason) == (JobState.FAILED, "DeadlineExceeded")


def test_a_deleted_job_is_told_to_leave_then_gone(tmp_path):
    async def run():
        async with cluster_at(tmp_path, {"group": [{"hang": True}]}) as cluster:
            manifest = _job(await _uid(cluster))
            await cluster.create(manifest)
            await _appears(tmp_path / "group-00.hangs")
            await cluster.delete("Job", (await cluster.observe(KEY)).session, "triage-r1-00")
            (deleting,) = cluster.jobs().values()
            with pytest.raises(NameConflictError):
                await cluster.create(manifest)
            await _until(cluster, lambda jobs: not jobs)
            return deleting.state

    assert asyncio.run(run()) is JobState.DELETING
    assert not list((tmp_path / "state/sessions/triage/jobs").iterdir())


def test_creating_a_job_twice_starts_it_once(tmp_path):
    async def run():
        async with cluster_at(tmp_path, {"group": [{"hang": True}]}) as cluster:
            manifest = _job(await _uid(cluster))
            await cluster.create(manifest)
            await cluster.create(manifest)
            await _appears(tmp_path / "group-00.hangs")
            foreign = _job("another-uid")
            with pytest.raises(NameConflictError):
                await cluster.create(foreign)

    asyncio.run(run())
    assert len((tmp_path / "group-00.starts").read_text().splitlines()) == 1


def test_a_job_cut_short_by_the_end_of_the_command_is_forgotten(tmp_path):
    async def run():
        async with cluster_at(tmp_path, {"group": [{"hang": True}]}) as cluster:
            await cluster.create(_job(await _uid(cluster)))
            await _appears(tmp_path / "group-00.hangs")
        async with cluster_at(tmp_path, {}) as cluster:
            return cluster.jobs()

    assert asyncio.run(run()) == {}


def test_a_job_a_killed_command_left_running_is_ended_and_made_again(tmp_path):
    async def run(left):
        state = StateFolder.at(tmp_path / "state")
        records = JobRecords(state.jobs("triage"))
        process = ProcessIdentity.of(left.pid)
        started = datetime.now(UTC)
        records.save(
            JobRecord(
                name="triage-r1-00", labels={}, memory_limit=0, process=process, started=started
            )
        )
        async with cluster_at(tmp_path, {}) as cluster:
            return cluster.jobs()

    sleeping = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(sleeping, start_new_session=True) as left:
        state = StateFolder.at(tmp_path / "state")
        StoredSession.open(state, SESSION)
        assert asyncio.run(run(left)) == {}
        assert left.wait(5) == -signal.SIGTERM


def test_a_config_map_is_a_folder_of_files(tmp_path):
    async def run():
        async with cluster_at(tmp_path, {}) as cluster:
            owner = Owner("triage", "default", await _uid(cluster))
            await cluster.create(build_config_map(owner, 1, '{"version": 1}'))
            await cluster.create(build_config_map(owner, 1, '{"version": 2}'))
            names = (await cluster.observe(KEY)).config_maps
            folder = tmp_path / "state/sessions/triage/config-maps/triage-r1-config"
            text = (folder / "01_architecture_config.json").read_text()
            session = (await cluster.observe(KEY)).session
            await cluster.delete("ConfigMap", session, "triage-r1-config")
            return names, text, (await cluster.observe(KEY)).config_maps

    before, text, after = asyncio.run(run())
    assert before == {"triage-r1-config"}
    assert text == '{"version": 1}'
    assert after == frozenset()


def test_a_missing_secret_is_refused_with_the_file_to_make(tmp_path):
    async def run():
        async with cluster_at(tmp_path, {}) as cluster:
            spec = json.loads(SESSION.spec.model_dump_json(by_alias=True))
            spec["models"]["task"]["apiKeySecretRef"] = {"name": "my-key", "key": "token"}
            models = type(SESSION.spec).model_validate_json(json.dumps(spec)).models
            with pytest.raises(RefusedError, match="secrets/my-key"):
                await cluster.create(_job(await _uid(cluster), models=models))

    asyncio.run(run())


def test_status_is_written_once_a_version_and_read_again(tmp_path):
    async def run():
        async with cluster_at(tmp_path, {}) as cluster:
            seen = (await cluster.observe(KEY)).session
            status = seen.status.model_copy(update={"observed_generation": 1})
            await cluster.write_status(seen, status)
            with pytest.raises(ConflictError):
                await cluster.write_status(seen, status)
            assert await cluster.observe(SessionKey("default", "other")) is None
        async with cluster_at(tmp_path, {}) as cluster:
            again = (await cluster.observe(KEY)).session
            assert again.uid == seen.uid
            return status, again.status

    written, read = asyncio.run(run())
    assert read == written
    text = (tmp_path / "state/sessions/triage/status.yaml").read_text()
    assert "sessionId: 20260101T000000Z" in text


def test_a_namesakes_status_cannot_be_written(tmp_path):
    async def run():
        from dataclasses import replace

        async with cluster_at(tmp_path, {}) as cluster:
            seen = (await cluster.observe(KEY)).session
            with pytest.raises(NotFoundError):
                await cluster.write_status(replace(seen, uid="another"), seen.status)

    asyncio.run(run())


def test_events_are_kept_with_the_runs_logs(tmp_path):
    async def run():
        async with cluster_at(tmp_path, {}) as cluster:
            seen = (await cluster.observe(KEY)).session
            await cluster.emit(seen, Event(EventType.WARNING, "GroupFailed", "00: exit code 70"))

    asyncio.run(run())
    log = tmp_path / "state/runs/20260101T000000Z/logs/events.log"
    assert log.read_text().endswith("Warning GroupFailed: 00: exit code 70\n")


@pytest.fixture
def parent_cgroup():
    """A cgroup of this test's own, below the one it runs in."""
    lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    own = next((line.split(":")[2] for line in lines if line.split(":")[1] == "memory"), None)
    folder = Path(f"/sys/fs/cgroup/memory{own}/cascade-tests-{os.getpid()}")
    try:
        if own is None:  # in cgroup v2 a group that holds processes can have no children
            raise PermissionError
        folder.mkdir()
    except OSError:
        pytest.skip("no memory cgroup can be made beside this process")
    yield folder
    folder.rmdir()


def test_the_kernel_holds_a_job_to_its_limit(tmp_path, parent_cgroup):
    cgroups = find_memory_cgroups({"CASCADE_CGROUP": str(parent_cgroup)})
    assert cgroups is not None

    async def run():
        script = {"group": [{"allocate": 120 * MIB, "hang": True}]}
        async with cluster_at(tmp_path, script, cgroups=cgroups) as cluster:
            await cluster.create(_job(await _uid(cluster), limit=60 * MIB))
            return await _until(cluster, _ended)

    (job,) = asyncio.run(run()).values()
    assert (job.exit_code, job.reason) == (137, "OOMKilled")
    assert not list(cgroups.parent.glob(f"cascade-{os.getpid()}-*"))
