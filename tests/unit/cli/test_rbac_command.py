"""``cascade rbac``: the file is YAML, stands for its source, and is not written for wrong names."""

import pytest
import yaml
from typer.testing import CliRunner

from cascade_operator.cli.app import app
from cascade_operator.control.manifests.rbac import build_rbac


def rbac(*arguments):
    return CliRunner().invoke(app, ["rbac", *map(str, arguments)])


def kinds(text):
    return [(one["kind"], one["metadata"].get("namespace")) for one in yaml.safe_load_all(text)]


def test_the_whole_cluster_takes_a_cluster_role():
    text = rbac("-o", "-").output
    assert list(yaml.safe_load_all(text)) == [one.whole() for one in build_rbac()]
    assert kinds(text)[1:3] == [("ClusterRole", None), ("ClusterRoleBinding", None)]


def test_namespaces_take_a_role_each_and_the_lease_is_where_the_operator_is():
    found = kinds(rbac("-n", "a,b", "--operator-namespace", "ops", "-o", "-").output)
    assert found == [
        ("ServiceAccount", "ops"),
        *[(kind, place) for place in ("a", "b") for kind in ("Role", "RoleBinding")],
        *[("Role", "ops"), ("RoleBinding", "ops")],
    ]


def test_nothing_is_asked_of_secrets_or_of_everything():
    rules = [rule for one in build_rbac() for rule in one.whole().get("rules", ())]
    named = {name for rule in rules for key in rule for name in rule[key]}
    assert not named & {"*", "secrets", "namespaces", "customresourcedefinitions"}
    jobs = next(rule for rule in rules if rule["resources"] == ["jobs"])
    assert not {"patch", "update"} & set(jobs["verbs"])


def test_a_file_that_differs_is_told(tmp_path):
    file = tmp_path / "deploy" / "rbac.yaml"
    assert rbac("--check", "-o", file).exit_code == 1
    assert rbac("-o", file).exit_code == 0
    assert rbac("--check", "-o", file).exit_code == 0
    file.write_text(file.read_text().replace("watch", "patch"))
    assert rbac("--check", "-o", file).exit_code == 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [(("-n", "Team"), "--namespace"), (("--lease-name", "_"), "--lease-name")],
    ids=["namespace", "lease"],
)
def test_a_wrong_name_is_refused(flags, words):
    done = rbac(*flags, "-o", "-")
    assert done.exit_code == 64
    assert words in done.output
