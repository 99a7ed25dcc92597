"""The quickstart on a cluster: applied by kubectl, reconciled by a real operator process."""

from __future__ import annotations

import json
from itertools import groupby

import pytest

from api.component import Component
from api.custom_resource import ROOT
from api.kubectl import KubectlError
from api.rest import wait_for
from cascade_operator.control.manifests import labels

QUICKSTART = ROOT / "examples" / "quickstart.yaml"
SESSION = "quickstart"


@pytest.fixture
def phases(kubectl, tmp_path):
    """The phases a session goes through, as a watch tells them."""
    command = [str(kubectl.program), f"--kubeconfig={kubectl.kubeconfig}"]
    command += [f"--cache-dir={kubectl.cache}", f"--namespace={kubectl.namespace}"]
    command += ["get", "ts", "--watch", "--output=jsonpath={.status.phase}{'\\n'}"]
    watch = Component("kubectl get --watch", command, log=tmp_path / "phases.log")
    watch.start()

    def seen():
        return [phase for phase, _ in groupby(watch.log.read_text().split())]

    yield seen
    watch.kill()


def _items(kubectl, kind, *options):
    return json.loads(kubectl("get", kind, "-o", "json", *options))["items"]


def test_the_quickstart_goes_from_pending_to_complete(kubectl, start_operator, claims, phases):
    kubectl("apply", "-f", str(QUICKSTART))
    # Nobody has seen it: its phase is the API server's own, and it is not ready.
    assert json.loads(kubectl("get", "ts", SESSION, "-o", "json"))["status"] == {
        "observedGeneration": -1,
        "phase": "Pending",
    }
    start_operator()
    kubectl("wait", "--for=condition=Complete", f"ts/{SESSION}", "--timeout=120s")
    kubectl("wait", "--for=condition=Ready", f"ts/{SESSION}", "--timeout=5s")
    assert phases() == ["Pending", "Preparing", "Training", "Archiving", "Complete"]

    served = json.loads(kubectl("get", "ts", SESSION, "-o", "json"))
    uid, status = served["metadata"]["uid"], served["status"]
    assert status["observedGeneration"] == served["metadata"]["generation"]
    assert len(status["groups"]) == 15
    assert {group["phase"] for group in status["groups"]} == {"Succeeded"}
    assert (status["best"]["group"], status["best"]["score"]) == ("00_01_02_03", "0.4000")
    assert [archive["groupSize"] for archive in status["archives"]] == [1, 2, 3, 4]

    head, row = kubectl("get", "ts").splitlines()
    assert head.split() == ["NAME", "PHASE", "PROGRESS", "GROUPS", "BEST", "RUN", "AGE"]
    assert row.split()[:6] == [SESSION, "Complete", "100", "15/15", "0.4000", "1"]

    jobs = _items(kubectl, "jobs", "-l", f"{labels.STAGE}=group")
    assert len(jobs) == 15
    assert len({job["metadata"]["labels"][labels.GROUP] for job in jobs}) == 15
    for job in jobs:
        _check_job(job, uid)
    for pod in _items(kubectl, "pods", "-l", f"{labels.SESSION_UID}={uid}"):
        assert not [v for v in pod["spec"]["volumes"] if "projected" in v], "a token is mounted"
    told = wait_for("the end is told", lambda: _told_of(kubectl, uid))
    assert set(told) == {"RunStarted", "Prepared", "GroupSucceeded", "Archived", "RunComplete"}
    assert told.count("GroupSucceeded") == 15

    kubectl("delete", "ts", SESSION, "--cascade=foreground", "--timeout=60s")
    with pytest.raises(KubectlError, match="not found"):
        kubectl("get", "ts", SESSION)
    assert _items(kubectl, "jobs") == []


def _told_of(kubectl, uid):
    """The reasons of the session's events, once the last one, of its end, is there."""
    events = _items(kubectl, "events", f"--field-selector=involvedObject.uid={uid}")
    reasons = [event["reason"] for event in events]
    return reasons if "RunComplete" in reasons else None


def _check_job(job, uid):
    metadata, spec = job["metadata"], job["spec"]
    (owner,) = metadata["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("TrainingSession", SESSION, uid)
    assert owner["controller"] is True
    assert owner["blockOwnerDeletion"] is True
    kept = metadata["labels"]
    assert kept[labels.MANAGED_BY] == "cascade-operator"
    assert (kept[labels.SESSION], kept[labels.SESSION_UID]) == (SESSION, uid)
    assert (kept[labels.RUN], kept[labels.ATTEMPT]) == ("1", "1")
    assert spec["backoffLimit"] == 0
    (rule,) = spec["podFailurePolicy"]["rules"]
    assert rule["action"] == "Ignore"
    assert spec["activeDeadlineSeconds"] > 600
    assert "ttlSecondsAfterFinished" not in spec

    pod = spec["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["restartPolicy"] == "Never"
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (worker,) = pod["containers"]
    assert worker["command"] == ["cascade", "worker", "group"]
    assert worker["resources"]["limits"]["memory"] == "1Gi"
    assert worker["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
