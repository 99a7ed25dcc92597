"""The chart's life on a real node: tested, upgraded, taken for one namespace, uninstalled."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

import pytest

from api.custom_resource import NAME
from api.rest import ApiError, wait_for
from api.session_bed import Session, brief
from chart.helm import CHART
from cluster.deployment import NAMESPACE, PASSWORD_SECRET, chart_values, password_secret
from cluster.release import Release
from cluster.sessions import (
    THREE_GROUPS,
    archive_files,
    prepare_namespace,
    serve_models,
    succeeded,
    ticket_session_on,
    wait_end,
    wait_trials,
)

CRD = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{NAME}"
OLD = "0.0.9"
COLUMN = "    - description: Best validation score."
FIELD = "                  patience:"
OF_THE_CLUSTER = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}


def test_the_test_of_the_release_passes(operator):
    assert "Succeeded" in operator.test()


@dataclass(frozen=True)
class Upgrade:
    """A session that trained while the release became the present chart's.

    Attributes:
        session: It; Complete.
        status: At its end.
        raw: The session before the upgrade.
        jobs: Uids of its Jobs before the upgrade, by name.
        pods: Uids of its pods before the upgrade, by name.
        servers: The release's pods before and after.
        columns: The CRD's columns before and after.
        field: Whether the CRD had the field before and after.
    """

    session: Session
    status: dict[str, Any]
    raw: dict[str, Any]
    jobs: dict[str, str]
    pods: dict[str, str]
    servers: tuple[dict[str, Any], dict[str, Any]]
    columns: tuple[list[str], list[str]]
    field: tuple[bool, bool]


@pytest.fixture(scope="module")
def upgrade(bed, operator, tmp_path_factory):
    """The release in an older version, a session in the middle of its training, the upgrade."""
    operator.upgrade(older_chart(tmp_path_factory.mktemp("older")))
    old_version, old_servers = version_of(bed), servers_of(operator)
    team = prepare_namespace(bed)
    # It stays for the module's other tests, whose ends delete the namespaces of a test.
    bed.namespaces.remove(team)
    with serve_models() as models:
        models.delay = 0.5
        session = ticket_session_on(bed, team, models.url, groups=THREE_GROUPS, parallelism=2)
        wait_trials(bed, session, "00", 1)
        raw, jobs, pods = session.raw(), uids(session.jobs()), uids(session.pods())
        operator.upgrade()
        new_version, new_servers = version_of(bed), servers_of(operator)
        models.delay = 0.0
        status = wait_end(bed, session)
    yield Upgrade(
        session,
        status,
        raw,
        jobs,
        pods,
        servers=(old_servers, new_servers),
        columns=(columns_of(old_version), columns_of(new_version)),
        field=(has_patience(old_version), has_patience(new_version)),
    )
    bed.namespaces.append(team)
    bed.delete_namespaces()


def test_an_upgrade_changes_crd_and_operator_and_restarts_no_training(upgrade):
    assert upgrade.field == (False, True)
    assert "Best" not in upgrade.columns[0]
    assert "Best" in upgrade.columns[1]
    before, after = upgrade.servers
    assert after["operator"] != before["operator"], "the operator's pod is another"
    assert after["redis"] == before["redis"], "Redis is left alone"
    session = upgrade.session
    groups = succeeded(upgrade.status)
    assert {name: group["attempt"] for name, group in groups.items()} == dict.fromkeys(groups, 1)
    assert len(session.group_jobs()) == len(groups)
    assert upgrade.jobs.items() <= uids(session.jobs()).items()
    assert upgrade.pods.items() <= uids(session.pods()).items()
    containers = [
        one for pod in session.pods().values() for one in pod["status"]["containerStatuses"]
    ]
    assert {one["restartCount"] for one in containers} == {0}
    # The new version's default is there, and is no change of what was asked for.
    assert "patience" not in upgrade.raw["spec"]["convergence"]
    now = session.raw()
    assert now["spec"]["convergence"]["patience"] == 10
    assert now["metadata"]["generation"] == upgrade.raw["metadata"]["generation"]
    run, earlier = now["status"]["run"], upgrade.raw["status"]["run"]
    assert (run["number"], run["specHash"]) == (1, earlier["specHash"])


def test_a_namespaced_release_has_roles_only_and_its_namespace_for_itself(
    bed, operator, team, models
):
    home = bed.namespace()
    bed.apply(password_secret(home), password_secret(team))
    values = {
        **chart_values(models=models.url),
        "watchNamespaces": [team],
        "crds.enabled": False,
    }
    tenant = Release(bed, "tenant", home, {**values, "redis.existingSecret": PASSWORD_SECRET})
    tenant.install()
    assert "Succeeded" in tenant.test()
    assert not OF_THE_CLUSTER & tenant.installed().kinds()
    assert not of_the_cluster(bed, tenant.name), "nor has it made any since"
    holder = f"{home}/{tenant.fullname}"
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{team}/leases/cascade-operator-serves"
    assert bed.rest.get(lease)["spec"]["holderIdentity"] == holder
    served = f"namespace {team} is served by {holder}"
    wait_for("the cluster's operator leaves it alone", lambda: served in operator.log("operator"))
    only = {"include": [["classify"]]}
    models.delay = 0.5
    session = ticket_session_on(bed, team, models.url, groups=only)
    other = second_of_the_namespace(bed, tenant, values)
    wait_for("the second says so", lambda: served in unreadiness(other))
    assert f"{served}: its sessions are left alone" in other.log("operator")
    models.delay = 0.0
    status = wait_end(bed, session)
    succeeded(status)
    (pod,) = tenant.ready("operator")
    by = {event["reportingInstance"] for event in session.events()}
    assert by == {pod["metadata"]["name"]}, "one operator told of it"
    assert not other.ready("operator")
    assert bed.rest.get(lease)["spec"]["holderIdentity"] == holder
    assert len(archive_files(bed, team)) == 1
    for release in (other, tenant):
        release.uninstall()
    assert session.raw()["metadata"]["uid"] == session.uid


def test_an_uninstalled_release_leaves_sessions_and_archives_to_the_next(bed, operator, upgrade):
    session, before = upgrade.session, upgrade.session.raw()
    jobs, files = uids(session.jobs()), archive_files(bed, session.namespace)
    assert len(files) == 2
    said = operator.uninstall()
    assert "kept due to the resource policy" in said
    wait_for("its pods are gone", lambda: not bed.pods(NAMESPACE))
    assert not of_the_cluster(bed, operator.name)
    assert bed.rest.get(CRD)["metadata"]["name"] == NAME
    assert session.raw()["metadata"]["uid"] == session.uid
    assert session.status() == before["status"]
    assert archive_files(bed, session.namespace) == files
    claim = f"data-{operator.fullname}-redis-0"
    claims = f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims/{claim}"
    assert bed.rest.get(claims)["status"]["phase"] == "Bound"
    operator.install()
    # Decides nothing of what is trained.
    generation = session.patch(parallelism=1)["metadata"]["generation"]
    status = session.wait(
        "the next operator has seen it", lambda s: s["observedGeneration"] == generation
    )
    assert (status["phase"], status["run"]["number"]) == ("Complete", 1), brief(status)
    assert uids(session.jobs()) == jobs


def older_chart(folder):
    """The chart of an older version, whose CRD lacks a column and a field."""
    older = folder / CHART.name
    shutil.copytree(CHART, older)
    about = older / "Chart.yaml"
    text = about.read_text()
    assert text.count("0.1.0") == 2, "its version and the operator's"
    about.write_text(text.replace("0.1.0", OLD))
    crd = older / "templates" / "crd-trainingsessions.yaml"
    crd.write_text(without(without(crd.read_text(), COLUMN), FIELD))
    return older


def without(text, first):
    """A YAML text without the block that begins with a line."""
    lines = text.splitlines(keepends=True)
    (start,) = [number for number, line in enumerate(lines) if line.rstrip() == first]
    depth = len(first) - len(first.lstrip())
    end = start + 1
    while len(lines[end]) - len(lines[end].lstrip()) > depth:
        end += 1
    return "".join(lines[:start] + lines[end:])


def version_of(bed):
    """The version of the CRD that is served."""
    (version,) = bed.rest.get(CRD)["spec"]["versions"]
    return version


def columns_of(version):
    return [column["name"] for column in version["additionalPrinterColumns"]]


def has_patience(version):
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    return "patience" in spec["convergence"]["properties"]


def servers_of(release):
    """The uids of a release's ready pods."""
    return {
        name: [pod["metadata"]["uid"] for pod in release.ready(name)]
        for name in ("operator", "redis")
    }


def of_the_cluster(bed, release):
    """Roles of the cluster that a release has."""
    query = {"labelSelector": f"app.kubernetes.io/instance={release}"}
    return [
        item["metadata"]["name"]
        for plural in ("clusterroles", "clusterrolebindings")
        for item in bed.rest.get(f"/apis/rbac.authorization.k8s.io/v1/{plural}", **query)["items"]
    ]


def second_of_the_namespace(bed, first, values):
    """Another release that names the same namespace, with the first one's Redis."""
    redis = {
        "redis.enabled": False,
        "redis.url": f"redis://{first.fullname}-redis.{first.namespace}.svc:6379",
    }
    theirs = {key: value for key, value in values.items() if not key.startswith("redis.")}
    release = Release(bed, "second", bed.namespace(), {**theirs, **redis})
    release.install(wait=False)
    return release


def unreadiness(release):
    """What the probe of a release's operator answers while it is not ready."""
    for pod in release.pods("operator"):
        path = f"/api/v1/namespaces/{release.namespace}/pods/{pod['metadata']['name']}:8081/proxy"
        try:
            release.bed.rest.get(f"{path}/readyz")
        except ApiError as error:
            return str(error)
    return ""


def uids(found):
    """The uids of objects, by name."""
    return {name: one["metadata"]["uid"] for name, one in found.items()}
