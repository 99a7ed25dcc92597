"""Users with few rights: a ServiceAccount, its rules and a kubeconfig with its token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from api.control_plane import ControlPlane

Rule = dict[str, Any]

_RBAC: Final = "/apis/rbac.authorization.k8s.io/v1"


def create_service_account(
    plane: ControlPlane,
    namespace: str,
    name: str,
    kubeconfig: Path,
    *,
    cluster_rules: Sequence[Rule] = (),
    namespace_rules: Sequence[Rule] = (),
) -> Path:
    """Creates an account with these rules and writes its kubeconfig.

    Args:
        plane: Where.
        namespace: Of the account, of its own rules, and of the kubeconfig's context.
        name: Of the account and of what binds its rules.
        kubeconfig: The file to write.
        cluster_rules: What it may do in every namespace.
        namespace_rules: What it may do in its own.
    """
    rest = plane.rest
    rest.create(
        f"/api/v1/namespaces/{namespace}/serviceaccounts",
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}},
    )
    if cluster_rules:
        _grant(plane, "", f"{namespace}-{name}", list(cluster_rules), namespace, name)
    if namespace_rules:
        _grant(plane, namespace, name, list(namespace_rules), namespace, name)
    token = rest.create(
        f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token",
        {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 7200},
        },
    )["status"]["token"]
    return plane.write_token_kubeconfig(kubeconfig, token, namespace)


def _grant(
    plane: ControlPlane, within: str, name: str, rules: list[Rule], namespace: str, account: str
) -> None:
    """Creates a role and its binding, of a namespace or of the cluster."""
    prefix = "" if within else "Cluster"
    base = f"{_RBAC}/namespaces/{within}" if within else _RBAC
    api_version = "rbac.authorization.k8s.io/v1"
    metadata = {"name": name}
    role = {"apiVersion": api_version, "kind": f"{prefix}Role", "metadata": metadata}
    plane.rest.create(f"{base}/{prefix.lower()}roles", {**role, "rules": rules})
    plane.rest.create(
        f"{base}/{prefix.lower()}rolebindings",
        {
            "apiVersion": api_version,
            "kind": f"{prefix}RoleBinding",
            "metadata": metadata,
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": f"{prefix}Role",
                "name": name,
            },
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        },
    )
