"""The operator's own rules for a user of the test bed, whole or with one verb less."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from cascade_operator.control.manifests.labels import OPERATOR
from cascade_operator.control.manifests.rbac import CLAIM_RULES, WORK_RULES, Rule, lease_rules

# Both kinds of Leases are in the one namespace that it serves and lives in.
RULES: tuple[Rule, ...] = (*WORK_RULES, *CLAIM_RULES, *lease_rules(OPERATOR))


@dataclass(frozen=True)
class Verb:
    """One verb of one resource."""

    resource: str
    name: str

    def __str__(self) -> str:
        return f"{self.name}-{self.resource.replace('/', '-')}"


VERBS = tuple(dict.fromkeys(Verb(rule.resource, verb) for rule in RULES for verb in rule.verbs))


def operator_rules(*without: Verb) -> list[dict[str, Any]]:
    """Returns the rules as a role has them, without some verbs."""
    found = []
    for rule in RULES:
        verbs = tuple(verb for verb in rule.verbs if Verb(rule.resource, verb) not in without)
        if verbs:
            found.append(replace(rule, verbs=verbs).manifest())
    return found
