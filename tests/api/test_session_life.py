"""A session's whole life under the real operator, as kubectl shows it."""

from __future__ import annotations

import json
import subprocess

import pytest

from api.custom_resource import sessions_path
from api.kubectl import Kubectl
from api.rest import wait_for
from api.session_bed import SessionBed
from cascade_operator.api.status import TrainingSessionStatus
from fakes.session_states import STATES

PHASES = ["Pending", "Preparing", "Training", "Archiving", "Complete"]


@pytest.fixture(scope="module")
def kube(bed, programs, control_plane, tmp_path_factory):
    """kubectl in the quickstart's namespace."""
    cache = tmp_path_factory.mktemp("kubectl-cache")
    return Kubectl(programs["kubectl"], control_plane.kubeconfig, cache, bed.namespace())


@pytest.fixture(scope="module")
def trained(bed: SessionBed, kube):
    """The quickstart, applied by kubectl and complete; and its group Jobs as they were."""
    manifest = bed.quickstart(kube.namespace)
    assert kube("apply", "-f", "-", stdin=json.dumps(manifest)) == (
        "trainingsession.cascade-operator.dev/quickstart created\n"
    )
    session = bed.named(kube.namespace, "quickstart")
    for condition in ("Ready", "Complete"):
        said = kube("wait", f"--for=condition={condition}", "ts/quickstart", "--timeout=120s")
        assert "condition met" in said
    return session


def test_it_goes_through_every_phase(trained):
    # kubectl may have seen the last phase before the test's own watch.
    wait_for("the watch shows the end", lambda: trained.phases()[-1] == "Complete")
    assert trained.phases() == PHASES
    first = trained.versions()[0]["status"]
    assert first["observedGeneration"] == -1, "no operator has seen it, so nothing is healthy"


def test_its_fifteen_jobs_are_what_was_promised(trained):
    jobs = trained.group_jobs()
    assert len(jobs) == 15
    for job in jobs.values():
        (owner,) = job["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"], owner["controller"]) == (
            *("TrainingSession", trained.uid),
            True,
        )
        labels = job["metadata"]["labels"]
        assert labels["cascade-operator.dev/group"]
        assert labels["app.kubernetes.io/managed-by"] == "cascade-operator"
        (rule,) = job["spec"]["podFailurePolicy"]["rules"]
        assert rule["action"] == "Ignore"
        assert rule["onPodConditions"][0]["type"] == "DisruptionTarget"
        assert job["spec"]["backoffLimit"] == 0
        assert "ttlSecondsAfterFinished" not in job["spec"]
        pod = job["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["restartPolicy"] == "Never"
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
        (worker,) = pod["containers"]
        assert worker["resources"]["limits"]["memory"] == "1Gi"
        hardened = worker["securityContext"]
        assert hardened["allowPrivilegeEscalation"] is False
        assert hardened["readOnlyRootFilesystem"] is True
        assert hardened["capabilities"]["drop"] == ["ALL"]


def test_no_pod_was_given_a_token(trained):
    for pod in trained.pods().values():
        volumes = json.dumps(pod["spec"].get("volumes", []))
        assert "serviceAccountToken" not in volumes


def test_get_reads_well(trained, kube):
    header, row = kube("get", "ts").splitlines()
    assert header.split() == ["NAME", "PHASE", "PROGRESS", "GROUPS", "BEST", "RUN", "AGE"]
    assert row.split()[:6] == ["quickstart", "Complete", "100", "15/15", "0.4000", "1"]
    wide_header, wide = kube("get", "ts", "-o", "wide").splitlines()
    assert "REASON" in wide_header
    assert "00_01_02_03" in wide


def test_all_of_it_stands_in_the_status(trained):
    status = trained.status()
    assert status["observedGeneration"] == trained.raw()["metadata"]["generation"]
    assert status["best"]["group"] == "00_01_02_03"
    assert {group["phase"] for group in status["groups"]} == {"Succeeded"}
    assert len(json.dumps(status)) < 64 * 1024
    conditions = trained.true()
    assert conditions == {"Ready": "Complete", "Complete": "Complete"}


def test_nobody_s_metadata_is_touched(trained):
    metadata = trained.raw()["metadata"]
    assert "finalizers" not in metadata
    assert set(metadata["annotations"]) == {"kubectl.kubernetes.io/last-applied-configuration"}
    assert "labels" not in metadata
    writers = {field["manager"] for field in metadata["managedFields"]}
    own = [field for field in metadata["managedFields"] if field.get("subresource") == "status"]
    assert len(writers) == 2
    assert all(set(field["fieldsV1"]) == {"f:status"} for field in own)


def test_events_tell_the_life_once_and_in_order(trained, kube):
    found = wait_for(
        "the last event",
        lambda: (
            (events := trained.events())
            and "RunComplete" in [event["reason"] for event in events]
            and events
        ),
    )
    told = [(event["reason"], event["message"]) for event in found]
    assert len(told) == len(set(told)), "nothing is told twice"
    assert {event["type"] for event in found} == {"Normal"}
    reasons = [event["reason"] for event in found]
    assert reasons[0] == "RunStarted"
    assert reasons[-1] == "RunComplete"
    columns = "custom-columns=REASON:.reason"
    chosen = f"--field-selector=involvedObject.uid={trained.uid}"
    listed = kube("get", "events", chosen, "-o", columns, "--no-headers").split()
    assert listed == reasons, "a list is in the order of names"
    _, _, shown = kube("describe", "ts", "quickstart").partition("Events:")
    rows = [line.split()[1] for line in shown.splitlines()[3:] if line.strip()]
    # Of one second's events describe shows some before others, as its sorting happens to.
    assert sorted(rows) == sorted(reasons)


def test_a_label_makes_no_run_of_a_finished_session(bed, trained):
    jobs, path = set(trained.jobs()), sessions_path(trained.namespace, trained.name)
    labelled = trained.rest.merge(path, {"metadata": {"labels": {"seen": "true"}}})
    version = labelled["metadata"]["resourceVersion"]
    wait_for(
        "the watch shows the label",
        lambda: trained.versions()[-1]["metadata"]["resourceVersion"] == version,
    )
    # A session made later has had its turn, so the label's own is over.
    bed.session(bed.namespace(claim=False), suspend=True).wait_reason("Suspended")
    assert trained.raw()["metadata"]["resourceVersion"] == version, "no write followed"
    assert set(trained.jobs()) == jobs


@pytest.mark.parametrize("name", [name for name in STATES if name != "deleted"])
def test_the_server_keeps_every_field_of_a_status(bed, unserved, name):
    """What an unknown field would be is refused; what is dropped would differ."""
    wanted = STATES[name].raw()["status"]
    path = f"{unserved}/status"
    kept = bed.rest.request(
        "PATCH",
        path,
        [{"op": "replace", "path": "/status", "value": wanted}],
        content_type="application/json-patch+json",
        fieldValidation="Strict",
    )["status"]
    assert kept == wanted
    assert TrainingSessionStatus.model_validate(kept).dump() == wanted


@pytest.fixture(scope="module")
def unserved(bed, control_plane):
    """The path of a session that no operator plans for: its spec says nothing usable."""
    namespace = bed.namespace(claim=False)
    path = f"/apis/cascade-operator.dev/v1alpha1/namespaces/{namespace}/trainingsessions"
    bed.operator.pause()
    body = {
        "apiVersion": "cascade-operator.dev/v1alpha1",
        "kind": "TrainingSession",
        "metadata": {"name": "states"},
        "spec": {"traces": {"import": "bfcl"}},
    }
    bed.rest.create(path, body)
    yield f"{path}/states"
    bed.rest.delete(f"{path}/states")
    bed.operator.resume()


def test_kubectl_itself_is_the_built_one(programs):
    said = subprocess.run(
        [programs["kubectl"], "version", "--client"], capture_output=True, text=True, check=True
    )
    assert "v1.34" in said.stdout
