"""A session nested as deep as the API server takes it: its own trouble, and nobody else's."""

from __future__ import annotations

import json

import pytest

from api.cascade_plugin import Plugin
from api.custom_resource import GROUP_VERSION, sessions_path
from api.rest import wait_for

LEVELS = 9_000


def conditions(kubectl) -> dict[str, str]:
    """The reasons of those that hold; the object itself is nothing for this process to read."""
    path = "{range .status.conditions[?(@.status=='True')]}{.type}={.reason} {end}"
    said = kubectl("get", "ts", "deep", "-o", f"jsonpath={path}")
    return dict(word.split("=") for word in said.split())


@pytest.fixture
def deep(kubectl, namespace):
    """Applies it; takes it away, for whoever lists sessions next."""
    body = {
        "apiVersion": GROUP_VERSION,
        "kind": "TrainingSession",
        "metadata": {"name": "deep"},
        "spec": {"traces": {"import": "bfcl"}, "jobTemplate": {"spec": {"affinity": "@"}}},
    }
    text = json.dumps(body).replace('"@"', '{"a":' * LEVELS + "1" + "}" * LEVELS)
    # As it is: kubectl itself would look for changes in it, level by level, for minutes.
    kubectl("create", "--raw", sessions_path(namespace), "-f", "-", stdin=text)

    yield
    kubectl("delete", "ts", "deep", "--wait=false")


def test_it_is_refused_and_all_others_are_served(
    control_plane, namespace, kubectl, start_operator, deep, tmp_path
):
    operator = start_operator()

    def served(name: str) -> None:
        path = sessions_path(namespace, name)
        body = {
            "apiVersion": GROUP_VERSION,
            "kind": "TrainingSession",
            "metadata": {"name": name},
            "spec": {"traces": {"import": "bfcl"}, "suspend": True},
        }
        control_plane.rest.create(sessions_path(namespace), body)
        wait_for(
            f"{name} is served",
            lambda: control_plane.rest.get(path)["status"].get("phase") == "Suspended",
        )

    # The first list that finds it, and then a watch of it.
    served("beside-it")
    wait_for("it is refused", lambda: "Stalled" in conditions(kubectl))
    assert conditions(kubectl) == {"Stalled": "InvalidSpec"}
    message = "jsonpath={.status.conditions[?(@.type=='Stalled')].message}"
    assert kubectl("get", "ts", "deep", "-o", message).startswith("the object is nested too deep")

    kubectl("label", "ts", "deep", "seen=true")
    served("after-it")

    # A user who looks at it.
    user = control_plane.write_admin_kubeconfig(tmp_path / "user.kubeconfig", namespace)
    top = Plugin(user)("top")
    assert top.code == 0, top
    assert "InvalidSpec" in top.output
    assert "nested too deep" in Plugin(user)("status", "deep").output
    assert "Traceback" not in operator.logged()
