"""Operators that overlap: one serves a namespace, the other says who, and waits for its turn."""

from __future__ import annotations

import urllib.request

import pytest

from api.custom_resource import sessions_path
from api.operator_process import OperatorProcess
from api.rest import wait_for
from api.scenarios import scenario
from api.session_bed import NO_REDIS
from cascade_operator.control.manifests.rbac import CLAIM

pytestmark = pytest.mark.process


def claim_path(namespace, name=f"/{CLAIM}"):
    return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases{name}"


def session(name):
    return {
        "apiVersion": "cascade-operator.dev/v1alpha1",
        "kind": "TrainingSession",
        "metadata": {"name": name},
        "spec": {
            "traces": {"import": "bfcl"},
            "groups": {"sizes": [1]},
            "jobTemplate": {"metadata": {"annotations": scenario(**{"run-seconds": "0.1"})}},
        },
    }


def turns(operator, result):
    """How many turns of the loop ended so."""
    with urllib.request.urlopen(f"http://127.0.0.1:{operator.metrics_port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    label = f'cascade_operator_reconciles_total{{result="{result}"}} '
    return sum(float(line.removeprefix(label)) for line in lines if line.startswith(label))


def test_a_second_operator_of_a_namespace_is_not_ready_and_says_who_has_it(
    control_plane, namespace, claims, start_operator
):
    rest = control_plane.rest
    first = start_operator()
    wait_for("its claim", lambda: rest.get(claim_path(namespace)))
    second = start_operator("--lease-name=second", ready=False)
    wait_for("it says who", lambda: f"served by {namespace}/cascade-operator" in second.logged())
    assert second.running
    second.wait_healthy()
    assert not second.answers("readyz")
    rest.create(sessions_path(namespace), session("one"))

    def complete():
        status = rest.get(f"{sessions_path(namespace)}/one").get("status") or {}
        return status.get("phase") == "Complete"

    wait_for("the session is trained", complete)
    wait_for("the second heard of it too", lambda: turns(second, "elsewhere"))
    assert turns(first, "ok")
    assert not turns(first, "elsewhere")
    assert not turns(second, "ok")


def test_a_claim_that_is_not_renewed_is_taken(control_plane, namespace, start_operator):
    control_plane.rest.create(
        claim_path(namespace, ""),
        {
            "metadata": {"name": CLAIM},
            "spec": {"holderIdentity": "gone/operator", "leaseDurationSeconds": 2},
        },
    )
    operator = start_operator(ready=False)
    wait_for("it says who", lambda: "served by gone/operator" in operator.logged())
    operator.wait_ready(30)
    lease = control_plane.rest.get(claim_path(namespace))["spec"]
    assert lease["holderIdentity"] == f"{namespace}/cascade-operator"
    assert lease["leaseTransitions"] == 1


def test_an_operator_of_the_whole_cluster_leaves_a_claimed_namespace_to_its_own(
    control_plane, namespace, tmp_path
):
    rest = control_plane.rest
    held = {"holderIdentity": "tools/operator", "leaseDurationSeconds": 3600}
    rest.create(claim_path(namespace, ""), {"metadata": {"name": CLAIM}, "spec": held})
    rest.create(sessions_path(namespace), session("theirs"))
    user = control_plane.write_admin_kubeconfig(tmp_path / "kubeconfig", namespace)
    flags = (NO_REDIS, "--lease-name=whole")
    operator = OperatorProcess(user, tmp_path / "operator.log", *flags)
    operator.start(wait_seconds=60)
    try:
        wait_for("its turn", lambda: turns(operator, "elsewhere"))
        assert f"namespace {namespace} is served by tools/operator" in operator.logged()
        found = rest.get(f"{sessions_path(namespace)}/theirs")
        assert found["status"] == {"observedGeneration": -1, "phase": "Pending"}
        rest.delete(claim_path(namespace))
        wait_for(
            "it is served now",
            lambda: (
                rest.get(f"{sessions_path(namespace)}/theirs")["status"]["observedGeneration"] > 0
            ),
        )
    finally:
        assert operator.stop() == 0
