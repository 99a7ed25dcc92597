"""The manifests of a run's Jobs and of its ConfigMap."""

import json

import pytest

from cascade_operator.api.archive_spec import ArchiveClaim, ArchiveSpec, RedisSpec
from cascade_operator.api.models_spec import ModelSpec, ModelsSpec, SecretKeyRef
from cascade_operator.api.resolve import Defaults, resolve
from cascade_operator.api.resources_spec import (
    JobTemplateSpec,
    Limits,
    PodMetadata,
    ResourceAmounts,
    ResourcesSpec,
    StageResources,
)
from cascade_operator.api.run import RunConfig
from cascade_operator.api.traces_spec import TracesSpec
from cascade_operator.control.domain.model import CreateConfigMap
from cascade_operator.control.domain.plan import plan
from cascade_operator.control.manifests.job import JobRequest, build_job
from cascade_operator.control.manifests.labels import Owner
from fakes.cluster import START, FakeCluster, spec_of

OWNER = Owner("triage", "team", "uid-1")


def request(stage="group", **changes):
    given = {
        "owner": OWNER,
        "run": 3,
        "name": f"triage-r3-{stage}",
        "stage": stage,
        "attempt": 2,
        "arguments": ("--attempt", "2"),
        "memory_limit": 1536 * 1024**2,
        "active_deadline_seconds": 4200,
        "group": "00_02" if stage == "group" else "",
    }
    return JobRequest(**{**given, **changes})


def job_of(stage="group", **changes):
    return build_job(request(stage), resolve(spec_of(**changes), Defaults(image="img:1")))


def pod_of(*args, **changes):
    return job_of(*args, **changes)["spec"]["template"]["spec"]


def worker(pod):
    return next(c for c in pod["containers"] if c["name"] == "worker")


def mounts(pod):
    return {m["mountPath"]: m for m in worker(pod)["volumeMounts"]}


def env(pod):
    return {e["name"]: e["value"] for e in worker(pod)["env"]}


def test_a_job_runs_one_pod_once():
    spec = job_of()["spec"]
    assert (spec["backoffLimit"], spec["parallelism"], spec["completions"]) == (0, 1, 1)
    assert spec["activeDeadlineSeconds"] == 4200
    assert spec["podReplacementPolicy"] == "Failed"
    assert "ttlSecondsAfterFinished" not in spec
    assert "suspend" not in spec
    assert spec["podFailurePolicy"]["rules"] == [
        {
            "action": "Ignore",
            "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
        }
    ]
    assert spec["template"]["spec"]["restartPolicy"] == "Never"


def test_a_job_is_labelled_and_owned():
    metadata = job_of()["metadata"]
    assert metadata["namespace"] == "team"
    assert metadata["labels"] == {
        "app.kubernetes.io/managed-by": "cascade-operator",
        "cascade-operator.dev/session": "triage",
        "cascade-operator.dev/session-uid": "uid-1",
        "cascade-operator.dev/run": "3",
        "cascade-operator.dev/stage": "group",
        "cascade-operator.dev/group": "00_02",
        "cascade-operator.dev/attempt": "2",
    }
    assert metadata["ownerReferences"] == [
        {
            "apiVersion": "cascade-operator.dev/v1alpha1",
            "kind": "TrainingSession",
            "name": "triage",
            "uid": "uid-1",
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    assert job_of()["spec"]["template"]["metadata"]["labels"] == metadata["labels"]


def test_the_worker_is_told_what_it_needs():
    pod = pod_of()
    container = worker(pod)
    assert container["command"] == ["cascade", "worker", "group"]
    assert container["args"] == ["--attempt", "2"]
    assert container["image"] == "img:1"
    assert container["resources"]["limits"]["memory"] == "1536Mi"
    assert env(pod) | {"HOME": "", "TMPDIR": "", "NUMBA_CACHE_DIR": ""} == {
        "CASCADE_CONFIG": "/etc/cascade/01_architecture_config.json",
        "CASCADE_TRACES": "/mnt/validated_traces",
        "CASCADE_ARCHIVES": "/mnt/archives",
        "CASCADE_REDIS_URL": "redis://cascade-redis:6379",
        "CASCADE_REDIS_PASSWORD_FILE": "/etc/cascade-secrets/cascade-redis/password",
        "CASCADE_TERMINATION_LOG": "/dev/termination-log",
        "CASCADE_MEMORY_LIMIT": "1610612736",
        "CASCADE_SCRATCH": "/tmp",
        "HOME": "",
        "TMPDIR": "",
        "NUMBA_CACHE_DIR": "",
    }


def test_the_pod_is_hardened():
    pod = pod_of()
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert worker(pod)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"name": "scratch", "emptyDir": {}} in pod["volumes"]
    assert mounts(pod)["/tmp"]["name"] == "scratch"


@pytest.mark.parametrize(
    ("stage", "traces", "archives"),
    [("prepare", True, True), ("group", False, False), ("archive", False, True)],
)
def test_claims_go_where_they_are_needed(stage, traces, archives):
    claim = ArchiveClaim(claim_name="kept", sub_path="team/a")
    pod = pod_of(stage, archive=ArchiveSpec(persistent_volume_claim=claim))
    seen = mounts(pod)
    assert ("/mnt/validated_traces" in seen, "/mnt/archives" in seen) == (traces, archives)
    if traces:
        assert seen["/mnt/validated_traces"]["readOnly"] is True
    if archives:
        assert seen["/mnt/archives"]["subPath"] == "team/a"
        assert "readOnly" not in seen["/mnt/archives"]
        assert {"name": "archives", "persistentVolumeClaim": {"claimName": "kept"}} in pod[
            "volumes"
        ]


def test_a_local_trace_file_is_named_in_the_environment_and_mounts_nothing():
    pod = pod_of("prepare", traces=TracesSpec(file="traces.jsonl"))
    assert env(pod)["CASCADE_TRACES_FILE"] == "traces.jsonl"
    assert "/mnt/validated_traces" not in mounts(pod)
    assert "CASCADE_TRACES_FILE" not in env(pod_of("prepare"))


def test_secrets_are_files_each_mounted_once():
    key = SecretKeyRef(name="openai", key="token")
    model = ModelSpec(api_key_secret_ref=key)
    pod = pod_of(models=ModelsSpec(task=model, prompt=model))
    secrets = [v["secret"] for v in pod["volumes"] if "secret" in v]
    assert [s["secretName"] for s in secrets] == ["cascade-redis", "openai"]
    assert [s.get("optional", False) for s in secrets] == [True, False]
    assert mounts(pod)["/etc/cascade-secrets/openai"]["readOnly"] is True


def test_a_secret_that_was_asked_for_is_not_optional():
    redis = RedisSpec(password_secret_ref=SecretKeyRef(name="mine", key="pw"))
    pod = pod_of(redis=redis)
    secret = next(v["secret"] for v in pod["volumes"] if "secret" in v)
    assert (secret["secretName"], "optional" in secret) == ("mine", False)
    assert env(pod)["CASCADE_REDIS_PASSWORD_FILE"] == "/etc/cascade-secrets/mine/pw"


def test_requests_and_limits_pass_and_the_memory_limit_is_the_attempts():
    stage = StageResources(
        requests=ResourceAmounts(cpu="500m", memory="512Mi"),
        limits=Limits(cpu="2", memory="1Gi"),
    )
    pod = pod_of(resources=ResourcesSpec(group=stage))
    assert worker(pod)["resources"] == {
        "requests": {"cpu": "500m", "memory": "512Mi"},
        "limits": {"cpu": "2", "memory": "1536Mi"},
    }


def test_overrides_are_merged_and_what_the_planner_relies_on_is_set_again():
    template = JobTemplateSpec(
        metadata=PodMetadata(
            labels={"team": "a", "cascade-operator.dev/run": "99"}, annotations={"note": "x"}
        ),
        spec={
            "nodeSelector": {"disk": "fast"},
            "restartPolicy": "OnFailure",
            "automountServiceAccountToken": True,
            "containers": [
                {
                    "name": "worker",
                    "command": ["sh"],
                    "args": ["-c", "true"],
                    "resources": {"limits": {"memory": "99Gi", "nvidia.com/gpu": "1"}},
                    "env": [
                        {"name": "HTTPS_PROXY", "value": "http://proxy"},
                        {"name": "CASCADE_MEMORY_LIMIT", "value": "1"},
                    ],
                },
                {"name": "sidecar", "image": "s:1"},
            ],
        },
    )
    job = job_of(job_template=template)
    pod = job["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"disk": "fast"}
    assert (pod["restartPolicy"], pod["automountServiceAccountToken"]) == ("Never", False)
    assert worker(pod)["command"] == ["cascade", "worker", "group"]
    assert worker(pod)["args"] == ["--attempt", "2"]
    assert worker(pod)["resources"]["limits"] == {"memory": "1536Mi", "nvidia.com/gpu": "1"}
    assert env(pod)["HTTPS_PROXY"] == "http://proxy"
    assert env(pod)["CASCADE_MEMORY_LIMIT"] == "1610612736"
    assert [c["name"] for c in pod["containers"]] == ["worker", "sidecar"]
    assert job["metadata"]["labels"]["team"] == "a"
    assert job["metadata"]["labels"]["cascade-operator.dev/run"] == "3"
    assert job["metadata"]["annotations"] == {"note": "x"}


@pytest.mark.parametrize("containers", [None, []], ids=["null", "empty"])
def test_an_override_cannot_lose_the_worker(containers):
    pod = pod_of(job_template=JobTemplateSpec(spec={"containers": containers}))
    assert worker(pod)["image"] == "img:1"


def test_a_queue_is_a_label_of_the_job_alone():
    job = job_of(queue_name="team-queue")
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-queue"
    assert "kueue.x-k8s.io/queue-name" not in job["spec"]["template"]["metadata"]["labels"]


def test_manifests_are_json_and_share_nothing_with_the_spec():
    spec = resolve(spec_of(job_template=JobTemplateSpec(spec={"nodeSelector": {}})), Defaults())
    first, second = build_job(request(), spec), build_job(request(), spec)
    assert json.loads(json.dumps(first)) == second


def test_the_runs_configuration_is_immutable_and_reads_back():
    cluster = FakeCluster()
    cluster.status = plan(cluster.seen(), START).status
    step = plan(cluster.seen(), START)
    manifest = next(a.manifest for a in step.actions if isinstance(a, CreateConfigMap))
    assert manifest["immutable"] is True
    assert manifest["metadata"]["name"] == "triage-r1-config"
    config = RunConfig.from_json(manifest["data"]["01_architecture_config.json"])
    assert (config.name, config.run, config.session_id) == ("triage", 1, "20260301T120000Z")
    assert config.groups == ["00", "01", "00_01"]
    assert config.spec.image == cluster.defaults.image
    job = next(a.manifest for a in step.actions if a.manifest["kind"] == "Job")
    volumes = job["spec"]["template"]["spec"]["volumes"]
    config_volume = next(v for v in volumes if v["name"] == "config")
    assert config_volume["configMap"]["name"] == "triage-r1-config"
