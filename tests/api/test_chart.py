"""The chart on the real API server: taken whole, enough to train with, upgraded and uninstalled.

helm installs; the operator runs out of the cluster with the token and the settings that the release
gives its pod. The release's own pods have no node to run on.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from api.binaries import HELM
from api.custom_resource import FILE, NAME
from api.kubectl import KubectlError
from api.operator_process import OperatorProcess
from api.recorder import Recorder
from api.rest import ApiError, wait_for
from api.session_bed import NO_REDIS, SessionBed
from cascade_operator.control.runtime.flags import ENVIRONMENT_PREFIX
from chart.helm import CHART, Helm, HelmError, settings
from chart.renderings import CASES

pytestmark = pytest.mark.process

CASCADE = Path(sys.executable).with_name("cascade")
RELEASE = "cascade-operator"
CRD = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{NAME}"
NOWHERE = {
    "nodeSelector": {"no": "node"},
    "ollama.enabled": False,
    "ollama.url": "http://127.0.0.1:1",
}
ALL = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}


@pytest.fixture(scope="module")
def helm(programs, tmp_path_factory):
    return Helm(programs[HELM.name], tmp_path_factory.mktemp("helm"))


@pytest.fixture
def beds(control_plane):
    """Makes beds for sessions; what they made is deleted after the test."""
    made = []

    def bed(operator):
        made.append(SessionBed(control_plane.rest, operator, Recorder()))
        return made[-1]

    yield bed
    for one in made:
        one.clean()


class Release:
    """A release, and the operator that its pod would run."""

    def __init__(self, helm, plane, namespace, folder, user=None):
        self.helm, self.plane, self.rest = helm, plane, plane.rest
        self.namespace, self.folder = namespace, folder
        self.user = user or plane.kubeconfig

    def run(self, command, values=None, chart=CHART):
        arguments = [command, RELEASE, str(chart), f"--namespace={self.namespace}"]
        return self.helm(*arguments, *settings(values), kubeconfig=self.user)

    def uninstall(self):
        return self.helm(
            "uninstall", RELEASE, f"--namespace={self.namespace}", kubeconfig=self.user
        )

    def operator(self):
        """Not started: with the account's token and the pod's environment, as flags."""
        base = f"/api/v1/namespaces/{self.namespace}"
        pod = self.rest.get(f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{RELEASE}")
        account = pod["spec"]["template"]["spec"]["serviceAccountName"]
        token = self.rest.create(
            f"{base}/serviceaccounts/{account}/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
        )["status"]["token"]
        user = self.plane.write_token_kubeconfig(self.folder / "account", token, self.namespace)
        data = self.rest.get(f"{base}/configmaps/{RELEASE}")["data"]
        # Those which are different outside of a cluster.
        theirs = ("HEALTH_PORT", "METRICS_PORT", "REDIS_URL", "LOG_FORMAT", "LEADER_ELECTION")
        flags = [
            f"--{name.removeprefix(ENVIRONMENT_PREFIX).lower().replace('_', '-')}={value}"
            for name, value in data.items()
            if name.removeprefix(ENVIRONMENT_PREFIX) not in theirs
        ]
        return OperatorProcess(user, self.folder / "operator.log", *flags, NO_REDIS)


@pytest.fixture
def release(helm, control_plane, namespace, tmp_path):
    """A release in the test's namespace; uninstalled after the test if it is still there."""
    made = Release(helm, control_plane, namespace, tmp_path)
    yield made
    left = helm("list", "--short", f"--namespace={namespace}", kubeconfig=made.user)
    if RELEASE in left:
        made.uninstall()


@pytest.fixture
def adopted(control_plane, release, kubectl):
    """The CRD in helm's hands, as the chart's README says; as it was again after the test."""
    crd = f"crd/{NAME}"
    kubectl("label", crd, "app.kubernetes.io/managed-by=Helm")
    kubectl("annotate", crd, f"meta.helm.sh/release-name={RELEASE}")
    kubectl("annotate", crd, f"meta.helm.sh/release-namespace={release.namespace}")
    yield
    found = control_plane.rest.get(CRD)
    spec = yaml.safe_load(FILE.read_text())["spec"]
    metadata = {key: found["metadata"][key] for key in ("name", "resourceVersion")}
    body = {**found, "metadata": metadata, "spec": spec}
    control_plane.rest.request("PUT", CRD, body)


def started(release, operator):
    operator.start(wait_seconds=60)
    assert "may not" not in operator.logged()
    assert "claims cannot be seen" not in operator.logged()
    return operator


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.id in ("servers", "pod", "network-all")],
    ids=lambda case: case.id,
)
def test_the_server_takes_every_object(helm, kubectl, control_plane, namespace, case, tmp_path):
    """Unknown fields are refused, and warnings, such as of Pod Security, are errors."""
    # The test's pod is refused before its account is there; it is tried below.
    values = {**case.values, "test.enabled": False}
    if "watchNamespaces" in values:
        values["watchNamespaces"] = [namespace]
        values["networkPolicy"] = {**values["networkPolicy"], "workerNamespaces": [namespace]}
    rendered = helm.render(values, namespace=namespace)
    file = tmp_path / "chart.yaml"
    file.write_text(rendered.text)
    said = kubectl(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", str(file)
    )
    assert said.count("serverside-applied (server dry run)") == len(rendered.objects)


def test_every_pod_is_let_into_a_restricted_namespace(helm, control_plane, namespace):
    rest, rendered = control_plane.rest, helm.render(namespace=namespace)
    label = {"pod-security.kubernetes.io/enforce": "restricted"}
    rest.merge(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": label}})
    pods = f"/api/v1/namespaces/{namespace}/pods"
    templates = [
        one["spec"]["template"] for k in ("Deployment", "StatefulSet") for one in rendered.all(k)
    ]
    tried = 0
    for template in [*templates, rendered.of("Pod")]:
        # Its account and its volumes are not looked at before the pod is let in.
        claims = [{"name": name, "emptyDir": {}} for name in ("data", "models")]
        spec = {**template["spec"], "volumes": template["spec"]["volumes"] + claims}
        spec.pop("serviceAccountName", None)
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": spec}
        rest.create(pods, body, dryRun="All")
        broken = {**spec["containers"][0], "securityContext": {"allowPrivilegeEscalation": True}}
        with pytest.raises(ApiError, match="violates PodSecurity"):
            rest.create(pods, {**body, "spec": {**spec, "containers": [broken]}}, dryRun="All")
        tried += 1
    assert tried == 4


def test_a_release_trains_is_upgraded_with_its_crd_and_uninstalled(
    control_plane, release, adopted, beds, kubectl, tmp_path
):
    rest = control_plane.rest
    said = release.run("install", NOWHERE)
    assert "rollout status deployment/cascade-operator" in said
    operator = started(release, release.operator())
    try:
        bed = beds(operator)
        running = bed.session(name="running", play={"outcome.00": "hold"})
        running.wait("a group runs", lambda status: status.get("phase") == "Training")
        wait_for("its Job", running.group_jobs)
        before, jobs = running.raw(), {k: v["metadata"]["uid"] for k, v in running.jobs().items()}
        newer = newer_chart(tmp_path)
        release.run("upgrade", NOWHERE, chart=newer)
        columns = rest.get(CRD)["spec"]["versions"][0]["additionalPrinterColumns"]
        assert columns[-1]["name"] == "Upgraded"
        # The pod of the new release: the old one ends, another starts.
        assert operator.stop() == 0
        operator.start(wait_seconds=60)
        held = [pod for pod in running.pods().values() if "-00-" in pod["metadata"]["name"]]
        running.play(held[0], **{"outcome.00": "complete"})
        done = running.wait_phase("Complete")
        assert done["run"]["number"] == 1
        after = running.raw()["metadata"]
        assert after["generation"] == before["metadata"]["generation"]
        assert jobs.items() <= {k: v["metadata"]["uid"] for k, v in running.jobs().items()}.items()
        assert [one["attempt"] for one in done["groups"]] == [1] * len(done["groups"])
    finally:
        assert operator.stop() == 0
    left = {k: v["metadata"]["uid"] for k, v in running.jobs().items()}
    assert "kept due to the resource policy" in release.uninstall()
    assert running.raw()["metadata"]["uid"] == running.uid
    assert rest.get(CRD)["metadata"]["name"] == NAME
    assert {k: v["metadata"]["uid"] for k, v in running.jobs().items()} == left
    with pytest.raises(KubectlError, match="not found"):
        kubectl("get", "clusterrole", f"{release.namespace}-{RELEASE}")


def newer_chart(folder):
    """The next version of the chart, whose CRD has a column more."""
    newer = folder / RELEASE
    shutil.copytree(CHART, newer)
    file = newer / "Chart.yaml"
    file.write_text(file.read_text().replace("0.1.0", "0.2.0"))
    crd = newer / "templates" / "crd-trainingsessions.yaml"
    column = "    - {name: Upgraded, type: string, jsonPath: .metadata.name}\n"
    text = crd.read_text()
    place = text.index("    name: v1alpha1\n")
    crd.write_text(text[:place] + column + text[place:])
    return newer


def test_a_namespaced_release_takes_roles_only_and_so_does_its_operator(
    control_plane, release, claims, beds, service_account
):
    """The one who installs has all rights in the namespace and none outside."""
    release.user = service_account("tenant", namespace_rules=[ALL])
    with pytest.raises(HelmError, match=r"clusterroles.*forbidden|forbidden.*clusterroles"):
        release.run("install", {**NOWHERE, "crds.enabled": False})
    values = {**NOWHERE, "crds.enabled": False, "watchNamespaces": [release.namespace]}
    release.run("upgrade", values) if failed(release) else release.run("install", values)
    operator = started(release, release.operator())
    try:
        session = beds(operator).session(release.namespace)
        session.wait_phase("Complete")
    finally:
        assert operator.stop() == 0
    release.uninstall()
    assert session.raw()["metadata"]["uid"] == session.uid


def failed(release):
    """Whether helm keeps a release whose install failed."""
    listed = release.helm(
        "list", "--all", "--short", f"--namespace={release.namespace}", kubeconfig=release.user
    )
    return RELEASE in listed


def test_the_test_of_a_release_says_that_it_works_and_what_does_not(
    helm, control_plane, namespace, operator_process, service_account
):
    """What `helm test` runs in a pod, with the rights that the pod's account gets."""
    rules = helm.render(namespace=namespace).of("Role", "-test")["rules"]
    address = f"http://127.0.0.1:{operator_process.health_port}"

    def ask(user, operator, timeout="10"):
        flags = (f"--operator={operator}", f"--kubeconfig={user}", f"--timeout={timeout}")
        return subprocess.run(
            [CASCADE, "installed", f"--namespace={namespace}", *flags],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    tester = service_account("tester", namespace_rules=rules)
    good = ask(tester, address)
    assert good.returncode == 0, good.stderr
    assert "it takes a TrainingSession" in good.stdout
    sessions = f"/apis/cascade-operator.dev/v1alpha1/namespaces/{namespace}/trainingsessions"
    assert control_plane.rest.get(sessions)["items"] == [], "a dry run makes nothing"
    nobody = ask(service_account("nobody"), address)
    assert nobody.returncode == 69
    assert "does not take a TrainingSession" in nobody.stderr
    away = ask(tester, "http://127.0.0.1:1", timeout="0")
    assert away.returncode == 69
    assert "is not ready after 0 s" in away.stderr
