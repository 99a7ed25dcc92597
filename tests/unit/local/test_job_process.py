"""The manifests here are the operator's own: what it sends to a cluster must run as a process."""

from __future__ import annotations

import sys

import pytest

from cascade_operator.api.errors import SpecError
from cascade_operator.api.session import TrainingSessionSpec
from cascade_operator.control.manifests.job import JobRequest, build_job
from cascade_operator.control.manifests.labels import GROUP, Owner
from cascade_operator.local.job_process import JobFolders, read_job
from cascade_operator.local.state import StateFolder

OWNER = Owner("triage", "default", "uid-1")


@pytest.fixture
def folders(tmp_path):
    return JobFolders(StateFolder.at(tmp_path), "triage", "20260101T000000Z")


def _spec(**fields):
    claim = {"persistentVolumeClaim": {"claimName": "my-traces"}}
    return TrainingSessionSpec.model_validate({"traces": claim} | fields)


def _manifest(stage="prepare", **fields):
    request = JobRequest(
        owner=OWNER,
        run=1,
        name=f"triage-r1-{stage}",
        stage=stage,
        attempt=1,
        arguments=("--group", "00_02") if stage == "group" else (),
        memory_limit=512 * 1024**2,
        active_deadline_seconds=4200,
        group="00_02" if stage == "group" else "",
    )
    return build_job(request, _spec(**fields))


def test_the_worker_is_started_by_its_own_entry(folders):
    job = read_job(_manifest("group"), folders)
    entry = ("-m", "cascade_operator.worker.main", "group", "--group", "00_02")
    assert job.command == (sys.executable, *entry)
    assert job.memory_limit == 512 * 1024**2
    assert job.deadline_seconds == 4200
    assert job.labels[GROUP] == "00_02"


def test_another_cascade_command_keeps_its_words(folders):
    manifest = _manifest()
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    container["command"], container["args"] = ["cascade"], ["stages"]
    command = read_job(manifest, folders).command
    assert command == (sys.executable, "-m", "cascade_operator.cli.main", "stages")


def test_a_pods_paths_become_folders_of_the_state(folders, tmp_path):
    job = read_job(_manifest(), folders)
    run, session = tmp_path / "runs/20260101T000000Z", tmp_path / "sessions/triage"
    scratch = run / "scratch/triage-r1-prepare"
    expected = {
        "CASCADE_CONFIG": session / "config-maps/triage-r1-config/01_architecture_config.json",
        "CASCADE_TRACES": tmp_path / "volumes/my-traces",
        "CASCADE_ARCHIVES": tmp_path / "volumes/cascade-archives",
        "CASCADE_SCRATCH": scratch / "scratch",
        "CASCADE_TERMINATION_LOG": session / "jobs/triage-r1-prepare.message",
    }
    assert {name: job.environment[name] for name in expected} == {
        name: str(path) for name, path in expected.items()
    }
    assert job.scratch == scratch


def test_a_sub_path_is_kept_and_may_not_leave_its_volume(folders, tmp_path):
    def archives(sub_path):
        manifest = _manifest(archive={"persistentVolumeClaim": {"claimName": "a"}})
        for mount in manifest["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]:
            mount["subPath"] = sub_path if mount["name"] == "archives" else ""
        return read_job(manifest, folders).environment["CASCADE_ARCHIVES"]

    assert archives("team/one") == str(tmp_path / "volumes/a/team/one")
    with pytest.raises(SpecError, match="leaves its volume"):
        archives("../../elsewhere")


def test_a_value_that_only_begins_like_a_mount_is_left_alone(folders):
    manifest = _manifest()
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    container["env"] += [
        {"name": "NEAR", "value": "/mnt/archives-old/x"},
        {"name": "WORDS", "value": "see /mnt/archives"},
        {"name": "EMPTY"},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]
    environment = read_job(manifest, folders).environment
    assert environment["NEAR"] == "/mnt/archives-old/x"
    assert environment["WORDS"] == "see /mnt/archives"
    assert environment["EMPTY"] == ""
    assert environment["NAME"] == "triage-r1-prepare"


SECRET = {"models": {"task": {"apiKeySecretRef": {"name": "my-key", "key": "token"}}}}


def test_a_secret_may_be_a_variable_of_the_user(folders, monkeypatch):
    monkeypatch.setenv("CASCADE_API_KEY_MY_KEY", "from the environment")
    assert read_job(_manifest(**SECRET), folders).command


def test_a_secret_is_a_folder_its_user_fills(folders, tmp_path):
    with pytest.raises(SpecError, match="my-key") as caught:
        read_job(_manifest(**SECRET), folders)
    assert str(tmp_path / "secrets/my-key") in caught.value.mend
    assert "CASCADE_API_KEY_MY_KEY" in caught.value.mend
    manifest = _manifest(**SECRET)
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    container["env"].append({"name": "KEY", "value": "/etc/cascade-secrets/my-key/token"})
    (tmp_path / "secrets/my-key").mkdir(parents=True)
    assert read_job(manifest, folders).environment["KEY"] == str(tmp_path / "secrets/my-key/token")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"volumes": [{"name": "nfs", "nfs": {"server": "x", "path": "/"}}]}, "no folder"),
        (
            {"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
            "only a cluster has",
        ),
        ({"command": ["sleep"]}, "no container"),
    ],
    ids=["volume-kind", "value-from", "command"],
)
def test_what_a_process_cannot_have_is_refused(folders, change, message):
    manifest = _manifest()
    pod = manifest["spec"]["template"]["spec"]
    container = pod["containers"][0]
    for volume in change.get("volumes", []):
        pod["volumes"].append(volume)
        container["volumeMounts"].append({"name": volume["name"], "mountPath": "/mnt/x"})
    container["env"] += change.get("env", [])
    container["command"] = change.get("command", container["command"])
    with pytest.raises(SpecError, match=message):
        read_job(manifest, folders)
