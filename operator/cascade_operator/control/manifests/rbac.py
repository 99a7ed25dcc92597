"""What the operator may do in a cluster: the one source of its roles.

``cascade rbac`` writes them, a chart takes them, the process asks for them when it starts, and
tests run a session with exactly these and miss each one of them. The operator has nothing of
Secrets, of CRDs or of namespaces, and no right to change a Job or a session's spec.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cascade_operator.control.manifests.labels import OPERATOR, PREFIX

NAMESPACE: Final = "cascade-system"
"""Where the operator itself runs, unless told otherwise."""

_RBAC: Final = "rbac.authorization.k8s.io"
_NAME_LABEL: Final = "app.kubernetes.io/name"


@dataclass(frozen=True, slots=True)
class Rule:
    """Verbs on one resource.

    Attributes:
        group: The API group; empty for the core.
        resource: Its plural, with the subresource: ``trainingsessions/status``.
        verbs: What may be done.
        why: What for, for a reader of the role.
        names: The only objects this is for; none: all.
    """

    group: str
    resource: str
    verbs: tuple[str, ...]
    why: str
    names: tuple[str, ...] = ()

    def manifest(self) -> dict[str, Any]:
        """The rule as it stands in a role."""
        rule: dict[str, Any] = {"apiGroups": [self.group], "resources": [self.resource]}
        if self.names:
            rule["resourceNames"] = list(self.names)
        return {**rule, "verbs": list(self.verbs)}


WORK_RULES: Final = (
    Rule(
        PREFIX,
        "trainingsessions",
        ("get", "list", "watch"),
        "What is asked for. Never written: spec, labels and annotations are their author's.",
    ),
    Rule(
        PREFIX,
        "trainingsessions/status",
        ("patch",),
        "What has come of it; all that is remembered of a run stands there.",
    ),
    Rule(
        PREFIX,
        "trainingsessions/finalizers",
        ("update",),
        "Children name their session as an owner that waits for them (blockOwnerDeletion), "
        "which clusters with OwnerReferencesPermissionEnforcement, such as OpenShift, guard.",
    ),
    Rule(
        "batch",
        "jobs",
        ("get", "list", "watch", "create", "delete"),
        "The runs' workers. They are made and deleted, never changed.",
    ),
    Rule(
        "",
        "pods",
        ("get", "list", "watch"),
        "How a worker ended, or why it does not start. Pods are the Job controller's to make.",
    ),
    Rule(
        "",
        "configmaps",
        ("get", "list", "create", "update", "delete"),
        "A run's settings, and the best program where spec.publish asks for it.",
    ),
    Rule(
        "",
        "events",
        ("create", "list"),
        "Events of sessions; and the Job controller's words on a pod that it cannot make.",
    ),
)
"""Wherever sessions are served."""

_LEASES: Final = "coordination.k8s.io"

CLAIM: Final = "cascade-operator-serves"
"""The Lease in each served namespace that says which operator serves it."""

CLAIM_RULES: Final = (
    Rule(_LEASES, "leases", ("create",), "The first operator of a namespace makes its claim."),
    Rule(
        _LEASES,
        "leases",
        ("get", "update"),
        "The claim is looked at and renewed, so that no second operator serves the same namespace.",
        (CLAIM,),
    ),
)
"""In each namespace of an operator that serves some."""

YIELD_RULES: Final = (
    Rule(
        _LEASES,
        "leases",
        ("list",),
        "The claims of operators that serve some namespaces, which are left to them.",
        (CLAIM,),
    ),
)
"""For an operator that serves the whole cluster."""

VIEW_RULES: Final = (
    Rule(PREFIX, "trainingsessions", ("get", "list", "watch"), "Sessions, as they stand."),
    Rule(PREFIX, "trainingsessions/status", ("get",), "What has come of them."),
)
"""For people who look."""

EDIT_RULES: Final = (
    Rule(
        PREFIX,
        "trainingsessions",
        ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"),
        "Sessions: made, changed, suspended, deleted.",
    ),
    Rule(PREFIX, "trainingsessions/status", ("get",), "What has come of them."),
)
"""For people who train."""


def claim_rules(namespaces: Sequence[str]) -> tuple[Rule, ...]:
    """Returns what it takes to share the cluster with other operators, wherever one serves.

    Args:
        namespaces: Where it serves; none: the whole cluster.
    """
    return CLAIM_RULES if namespaces else YIELD_RULES


def lease_rules(name: str) -> tuple[Rule, ...]:
    """Returns what leadership takes, in the Lease's namespace.

    Args:
        name: The Lease's name.
    """
    return (
        Rule(_LEASES, "leases", ("create",), "The first replica makes the Lease."),
        Rule(_LEASES, "leases", ("get", "update"), "It is looked at and renewed.", (name,)),
    )


@dataclass(frozen=True, slots=True)
class Document:
    """One object, and the rules that belong at its end."""

    manifest: dict[str, Any]
    rules: tuple[Rule, ...] = ()

    def whole(self) -> dict[str, Any]:
        """The object as it is applied."""
        if not self.rules:
            return self.manifest
        return {**self.manifest, "rules": [rule.manifest() for rule in self.rules]}


def build_rbac(
    *,
    namespaces: Sequence[str] = (),
    operator_namespace: str = NAMESPACE,
    name: str = OPERATOR,
    lease: str = OPERATOR,
) -> list[Document]:
    """Builds the operator's account, its roles and what binds them.

    Args:
        namespaces: Where it serves sessions; none: in the whole cluster, by a ClusterRole.
        operator_namespace: Where it runs, and where its Lease is.
        name: Of the account and of everything else.
        lease: The Lease's name.
    """
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": _metadata(name, operator_namespace),
    }
    found = [Document(account)]
    rules = (*WORK_RULES, *claim_rules(namespaces))
    for namespace in namespaces or ("",):
        found += _role(name, namespace, rules, operator_namespace, name)
    found += _role(
        f"{name}-leader", operator_namespace, lease_rules(lease), operator_namespace, name
    )
    return found


def _role(
    name: str, namespace: str, rules: tuple[Rule, ...], account_namespace: str, account: str
) -> list[Document]:
    """A role and its binding to the account; of the whole cluster without a namespace."""
    prefix = "" if namespace else "Cluster"
    version = f"{_RBAC}/v1"
    role = {
        "apiVersion": version,
        "kind": f"{prefix}Role",
        "metadata": _metadata(name, namespace),
    }
    binding = {
        "apiVersion": version,
        "kind": f"{prefix}RoleBinding",
        "metadata": _metadata(name, namespace),
        "roleRef": {"apiGroup": _RBAC, "kind": f"{prefix}Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": account_namespace}],
    }
    return [Document(role, rules), Document(binding)]


def _metadata(name: str, namespace: str) -> dict[str, Any]:
    place = {"namespace": namespace} if namespace else {}
    return {"name": name, **place, "labels": {_NAME_LABEL: OPERATOR}}
