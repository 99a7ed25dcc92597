"""The port onto a real API server: what is created, owned, refused, deleted and written."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from api.rest import wait_for
from api.scenarios import scenario
from cascade_operator.api.resolve import Defaults
from cascade_operator.api.status import Phase
from cascade_operator.control.domain.model import Event, EventType, JobState
from cascade_operator.control.domain.policies.publishing import PublishReason
from cascade_operator.control.kube.cluster import KubeCluster
from cascade_operator.control.kube.listing import Lister
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
from cascade_operator.control.manifests.published import PublishRequest
from fakes.cluster import spec_of

SESSIONS = "/apis/cascade-operator.dev/v1alpha1/namespaces/{}/trainingsessions"
JOBS = "/apis/batch/v1/namespaces/{}/jobs"


@pytest.fixture
def session(control_plane, namespace):
    """A session that no operator serves: the test plays its part."""
    return control_plane.rest.create(
        SESSIONS.format(namespace),
        {
            "apiVersion": "cascade-operator.dev/v1alpha1",
            "kind": "TrainingSession",
            "metadata": {"name": "triage"},
            "spec": {"traces": {"import": "bfcl"}},
        },
    )


@pytest.fixture
def on_cluster(connect_api, namespace, session):
    """Runs a coroutine function with a filled cluster, its lister and the session's key."""

    @asynccontextmanager
    async def filled():
        async with connect_api() as api:
            cluster = KubeCluster(api, defaults=Defaults())
            lister = Lister(api, cluster.cache, [namespace])
            await lister.fill()
            yield cluster, lister, SessionKey(namespace, "triage")

    def run(work):
        async def main():
            async with filled() as parts:
                return await work(*parts)

        return asyncio.run(main())

    return run


def owner(session):
    metadata = session["metadata"]
    return Owner(metadata["name"], metadata["namespace"], metadata["uid"])


def job_of(session, name="triage-r1-00", image="worker", **annotations):
    spec = spec_of(image=image)
    template = spec.job_template
    given = template.metadata.model_copy(update={"annotations": scenario(**annotations)})
    spec = spec.model_copy(
        update={
            "job_template": template.model_copy(
                update={"metadata": given, "spec": {"volumes": None}}
            )
        }
    )
    request = JobRequest(
        owner=owner(session),
        run=1,
        name=name,
        stage="group",
        attempt=1,
        arguments=("--group", "00"),
        memory_limit=2**30,
        active_deadline_seconds=600,
        group="00",
    )
    manifest = build_job(request, spec)
    pod = manifest["spec"]["template"]["spec"]
    # No claim is bound here: what matters is the Job.
    pod["volumes"] = []
    pod["containers"][0]["volumeMounts"] = []
    return manifest


async def until(cluster, key, job, state):
    """Resyncs until a Job is in a state: no watch runs here."""
    for _ in range(600):
        observed = await cluster.observe(key)
        if job in observed.jobs and observed.jobs[job].state is state:
            return observed
        await asyncio.sleep(0.1)
        await cluster.lister.resync()
    raise AssertionError(f"{job} never was {state}: {observed.jobs}")


def test_a_child_is_created_once_and_seen_at_once(on_cluster, session):
    async def work(cluster, lister, key):
        for _ in range(2):
            await cluster.create(build_config_map(owner(session), 1, "{}"))
            await cluster.create(job_of(session))
        observed = await cluster.observe(key)
        return observed.config_maps, {name: job.memory_limit for name, job in observed.jobs.items()}

    assert on_cluster(work) == ({"triage-r1-config"}, {"triage-r1-00": 2**30})


def test_a_finished_job_is_seen_with_its_workers_words(on_cluster, session):
    """Also where no watch has told of the pod: it is read when its Job has ended."""

    async def work(cluster, lister, key):
        cluster.lister = lister
        await cluster.create(job_of(session, **{"run-seconds": "0.1"}))
        observed = await until(cluster, key, "triage-r1-00", JobState.SUCCEEDED)
        return observed.jobs["triage-r1-00"]

    job = on_cluster(work)
    assert (job.exit_code, job.reason) == (0, "Completed")
    assert job.message.group == "00"
    assert job.started <= job.finished


def test_a_foreign_job_on_our_name_stays_and_is_said(on_cluster, session, control_plane, namespace):
    foreign = job_of(session)
    del foreign["metadata"]["ownerReferences"]
    control_plane.rest.create(JOBS.format(namespace), foreign)

    async def work(cluster, lister, key):
        with pytest.raises(NameConflictError, match="belongs to something else"):
            await cluster.create(job_of(session))
        refused = (await cluster.observe(key)).refused
        await cluster.delete("Job", (await cluster.observe(key)).session, "triage-r1-00")
        return {name: found.reason for name, found in refused.items()}

    assert on_cluster(work) == {"triage-r1-00": "NameConflict"}
    assert control_plane.rest.get(f"{JOBS.format(namespace)}/triage-r1-00")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"restartPolicy": "Sometimes"}, "Invalid", id="wrong value"),
        pytest.param({"tolerationz": []}, "BadRequest", id="unknown field"),
    ],
)
def test_a_job_that_is_refused_is_remembered_until_one_is_taken(
    on_cluster, session, change, reason
):
    async def work(cluster, lister, key):
        manifest = job_of(session)
        manifest["spec"]["template"]["spec"] |= change
        with pytest.raises(RefusedError) as raised:
            await cluster.create(manifest)
        refused = (await cluster.observe(key)).refused["triage-r1-00"]
        await cluster.create(job_of(session))
        return raised.value.reason, refused.reason, (await cluster.observe(key)).refused

    assert on_cluster(work) == (reason, reason, {})


def test_a_deleted_job_is_there_until_its_pod_has_ended(on_cluster, session):
    async def work(cluster, lister, key):
        cluster.lister = lister
        await cluster.create(job_of(session, outcome="hold", **{"grace-seconds": "2"}))
        observed = await until(cluster, key, "triage-r1-00", JobState.RUNNING)
        await cluster.delete("Job", observed.session, "triage-r1-00")
        leaving = (await cluster.observe(key)).jobs["triage-r1-00"].state
        with pytest.raises(NameConflictError, match="still being deleted"):
            await cluster.create(job_of(session))
        refused = (await cluster.observe(key)).refused
        for _ in range(300):
            await lister.resync()
            if not (await cluster.observe(key)).jobs:
                break
            await asyncio.sleep(0.1)
        await cluster.create(job_of(session))
        return leaving, refused, list((await cluster.observe(key)).jobs)

    assert on_cluster(work) == (JobState.DELETING, {}, ["triage-r1-00"])


def test_a_status_is_written_over_the_one_that_was_read_alone(on_cluster, control_plane, session):
    path = f"{SESSIONS.format(session['metadata']['namespace'])}/triage"

    async def work(cluster, lister, key):
        read = (await cluster.observe(key)).session
        first = read.status.model_copy(update={"observed_generation": 1, "groups_summary": "1/3"})
        await cluster.write_status(read, first)
        after = (await cluster.observe(key)).session
        with pytest.raises(ConflictError):
            await cluster.write_status(read, first)
        # Another hand writes: the version that is held is no longer the newest.
        control_plane.rest.merge(path, {"metadata": {"annotations": {"a": "b"}}})
        with pytest.raises(ConflictError):
            await cluster.write_status(after, read.status)
        return after.status == first

    assert on_cluster(work)
    status = control_plane.rest.get(path)["status"]
    assert (status["observedGeneration"], status["groupsSummary"]) == (1, "1/3")


def test_a_field_that_goes_from_status_goes_from_the_server(on_cluster, control_plane, session):
    path = f"{SESSIONS.format(session['metadata']['namespace'])}/triage"

    async def work(cluster, lister, key):
        read = (await cluster.observe(key)).session
        await cluster.write_status(read, read.status.model_copy(update={"phase": Phase.PENDING}))
        again = (await cluster.observe(key)).session
        await cluster.write_status(again, again.status.model_copy(update={"phase": None}))

    on_cluster(work)
    assert "phase" not in control_plane.rest.get(path)["status"]


def test_a_session_that_was_made_again_is_not_written_for_its_namesake(
    on_cluster, control_plane, session
):
    path = f"{SESSIONS.format(session['metadata']['namespace'])}/triage"

    async def work(cluster, lister, key):
        read = (await cluster.observe(key)).session
        control_plane.rest.delete(path)
        with pytest.raises(NotFoundError):
            await cluster.write_status(
                read, read.status.model_copy(update={"phase": Phase.PENDING})
            )

    on_cluster(work)


def test_an_event_stands_on_the_session(on_cluster, kubectl):
    async def work(cluster, lister, key):
        read = (await cluster.observe(key)).session
        await cluster.emit(read, Event(EventType.WARNING, "Odd", "x" * 5000))

    on_cluster(work)
    described = kubectl("describe", "ts", "triage")
    assert "Warning  Odd" in described
    assert "cascade-operator" in described


def test_a_quota_on_pods_is_said_in_the_job_controllers_words(
    on_cluster, control_plane, session, monkeypatch
):
    monkeypatch.setattr("cascade_operator.control.kube.pod_words._POD_SECONDS", 0.0)
    monkeypatch.setattr("cascade_operator.control.kube.pod_words._WORDS_SECONDS", 0.0)
    namespace = session["metadata"]["namespace"]
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    path = f"/api/v1/namespaces/{namespace}/resourcequotas"
    control_plane.rest.create(path, {"apiVersion": "v1", "kind": "ResourceQuota", **quota})
    wait_for(
        "the quota counts",
        lambda: control_plane.rest.get(f"{path}/none").get("status", {}).get("hard"),
    )

    async def work(cluster, lister, key):
        await cluster.create(job_of(session))
        for _ in range(100):
            pods = (await cluster.observe(key)).pods
            if pods:
                return pods["triage-r1-00"].refused
            await asyncio.sleep(0.1)
        raise AssertionError("nothing was said")

    assert "exceeded quota" in on_cluster(work)


def test_publishing_without_redis_says_what_to_do(on_cluster, session):
    metadata = session["metadata"]
    request = PublishRequest(
        namespace=metadata["namespace"],
        session="triage",
        uid=metadata["uid"],
        config_map="prompts",
        run=1,
        group="00",
        score="0.5",
        improvement="0.1",
        sha256="0" * 64,
        bytes=2,
    )

    async def work(cluster, lister, key):
        await cluster.publish(request)
        return (await cluster.observe(key)).publication

    found = on_cluster(work)
    assert found.reason is PublishReason.UNAVAILABLE
    assert "--redis-url" in found.message
