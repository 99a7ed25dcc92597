"""Every rendering is taken by helm's linter and Kubernetes' own schemas; the defaults are kept."""

from __future__ import annotations

import json
import os
import re

import kubernetes_validate
import pytest
import yaml

from api.binaries import PROGRAMS
from chart.helm import CHART
from chart.renderings import CASES

SNAPSHOT = CHART.parents[1] / "tests" / "chart" / "snapshots" / "defaults.yaml"
UPDATE = "UPDATE_SNAPSHOTS"
_KUBECTL = next(one for one in PROGRAMS if one.name == "kubectl")
KUBERNETES = ".".join(_KUBECTL.version.removeprefix("v").split(".")[:2])
# Of other projects: their schemas are not Kubernetes'.
FOREIGN = {"ServiceMonitor", "PrometheusRule"}
SELECTOR = {
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/component",
}


@pytest.fixture(scope="module")
def rendered(helm):
    """Each case, rendered once."""
    found = {}

    def get(case):
        if case.id not in found:
            found[case.id] = helm.render(case.values, files=case.files)
        return found[case.id]

    return get


@pytest.fixture(scope="module")
def valid():
    """What was held against its schema; most objects are in many renderings."""
    return set()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_linter_has_no_word(helm, case):
    said = helm.lint(case.values, files=case.files)
    assert "1 chart(s) linted, 0 chart(s) failed" in said
    assert not re.search(r"\[(INFO|WARNING|ERROR)\]", said), said


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_each_object_is_one_of_kubernetes(rendered, valid, case):
    for one in rendered(case).objects:
        text = json.dumps(one, sort_keys=True)
        if one["kind"] not in FOREIGN and text not in valid:
            kubernetes_validate.validate(one, KUBERNETES, strict=True)
            valid.add(text)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_selectors_have_only_what_never_changes(rendered, case):
    pods = 0
    for one in rendered(case).objects:
        if one["kind"] in ("Deployment", "StatefulSet"):
            selector = one["spec"]["selector"]["matchLabels"]
            labels = one["spec"]["template"]["metadata"]["labels"]
            assert set(selector) == SELECTOR
            assert selector.items() <= labels.items()
            for claim in one["spec"].get("volumeClaimTemplates", ()):
                assert set(claim["metadata"]["labels"]) == SELECTOR
            pods += 1
    assert pods


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_every_object_has_the_labels_of_its_release(rendered, case):
    for one, source in zip(rendered(case).objects, rendered(case).sources, strict=True):
        if source == "templates/extra-objects.yaml":
            continue
        labels = one["metadata"]["labels"]
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert labels["app.kubernetes.io/part-of"] == "cascade-operator"
        assert {*SELECTOR, "app.kubernetes.io/version", "helm.sh/chart"} <= set(labels)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_every_pod_passes_pod_security_restricted(rendered, case):
    for pod in pods(rendered(case)):
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "limits" in container["resources"]
        # Only who asks the API server has a token.
        asks = pod["containers"][0]["name"] in ("operator", "test")
        assert pod["automountServiceAccountToken"] is asks


def pods(rendered):
    for one in rendered.objects:
        if one["kind"] in ("Deployment", "StatefulSet"):
            yield one["spec"]["template"]["spec"]
        elif one["kind"] == "Pod":
            yield one["spec"]


def test_a_second_rendering_is_the_same(helm):
    case = next(case for case in CASES if case.id == "servers")
    assert helm.render(case.values).text == helm.render(case.values).text


@pytest.mark.parametrize("word", ["lookup", "rand", "now", "genCA", "uuidv4", "derivePassword"])
def test_no_template_asks_the_cluster_the_clock_or_chance(word):
    for file in CHART.glob("templates/**/*"):
        if file.is_file():
            actions = re.findall(r"\{\{.*?\}\}", file.read_text(), re.S)
            code = [re.sub(r"/\*.*?\*/|\"[^\"]*\"", "", one, flags=re.S) for one in actions]
            assert not [one for one in code if re.search(rf"\b{word}", one)], file


def test_the_defaults_are_those_of_the_snapshot(rendered):
    """After a change that is meant: ``UPDATE_SNAPSHOTS=1 pytest tests/chart``, and read it."""
    text = rendered(CASES[0]).text
    # The CRD is a generated file, held against its source elsewhere.
    parts = [part for part in text.split("---\n") if "kind: CustomResourceDefinition" not in part]
    found = "---\n".join(parts)
    if os.environ.get(UPDATE):
        SNAPSHOT.write_text(found, encoding="utf-8")
    assert yaml.safe_load_all(found)
    assert SNAPSHOT.read_text(encoding="utf-8").splitlines() == found.splitlines()
