"""Whether the service account has its rights (89): asked before one is missed within a run.

Without one the operator would go on with the rest, and its sessions would only wait. So what is
missing stands in the log with what to do, and the process is not ready until it is there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cascade_operator.control.kube.api import KubeApi
from cascade_operator.control.kube.port import ClusterError
from cascade_operator.control.manifests.rbac import WORK_RULES, Rule, claim_rules, lease_rules
from cascade_operator.control.runtime.logs import log

_STAGE: Final = 89
_REVIEWS: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_AT_ONCE: Final = 4
_AGAIN_SECONDS: Final = 15.0
_SAY_AGAIN: Final = 20
_MOST_NAMED: Final = 8


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on one resource in one place.

    Attributes:
        verb: What is done.
        group: The API group.
        resource: The plural, with the subresource.
        namespace: Where; empty: everywhere.
        name: The only object; empty: all.
    """

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        """In words: ``create jobs.batch in namespace ml``."""
        kind = f"{self.resource}.{self.group}" if self.group else self.resource
        place = f"in namespace {self.namespace}" if self.namespace else "in all namespaces"
        return f"{self.verb} {kind} {place}"

    def review(self) -> dict[str, Any]:
        """What the API server is asked."""
        resource, _, subresource = self.resource.partition("/")
        attributes = {
            "verb": self.verb,
            "group": self.group,
            "resource": resource,
            "subresource": subresource,
            "namespace": self.namespace,
            "name": self.name,
        }
        return {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {
                "resourceAttributes": {key: value for key, value in attributes.items() if value}
            },
        }


def needed(namespaces: Sequence[str], lease: tuple[str, str] | None) -> list[Right]:
    """Lists the rights that an operator needs.

    Args:
        namespaces: Where it serves; none: everywhere.
        lease: Namespace and name of its Lease; None without leadership.
    """
    rules = WORK_RULES if lease is None else (*WORK_RULES, *claim_rules(namespaces))
    found = [right for one in namespaces or ("",) for right in _rights(rules, one)]
    if lease is not None:
        found += _rights(lease_rules(lease[1]), lease[0])
    return found


class Rights:
    """Asks for the rights until all are there.

    Attributes:
        missing: Those that are not, in words.
    """

    def __init__(
        self,
        api: KubeApi,
        namespaces: Sequence[str],
        *,
        lease: tuple[str, str] | None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Prepares; see ``needed``."""
        self._api, self._sleep = api, sleep
        self._needed = needed(namespaces, lease)
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self.missing = ""

    async def run(self) -> None:
        """Asks, and asks again for what is missing."""
        left, silent = self._needed, 0
        while left:
            left = await self._denied(left)
            text = _words(left)
            silent = 0 if text != self.missing else silent + 1
            if left and silent % _SAY_AGAIN == 0:
                log(
                    _STAGE,
                    f"the service account may not {text}; to mend: apply the roles that "
                    "`cascade rbac` writes (deploy/rbac.yaml)",
                    level=logging.ERROR,
                )
            if self.missing and not left:
                log(_STAGE, "the service account has all its rights now")
            self.missing = text
            if left:
                await self._sleep(_AGAIN_SECONDS)

    async def _denied(self, rights: Iterable[Right]) -> list[Right]:
        async def denied(right: Right) -> bool:
            async with self._slots:
                return await self._is_denied(right)

        asked = list(rights)
        answers = await asyncio.gather(*map(denied, asked))
        return [right for right, no in zip(asked, answers, strict=True) if no]

    async def _is_denied(self, right: Right) -> bool:
        try:
            answer = await self._api.request("POST", _REVIEWS, body=right.review(), seconds=10.0)
        except ClusterError:
            # Not to know is no reason to hold anything up: what is refused is told where it is.
            return False
        status = answer.get("status")
        return isinstance(status, dict) and status.get("allowed") is False


def _rights(rules: Iterable[Rule], namespace: str) -> list[Right]:
    return [
        Right(verb, rule.group, rule.resource, namespace, name)
        for rule in rules
        for name in rule.names or ("",)
        for verb in rule.verbs
    ]


def _words(rights: Sequence[Right]) -> str:
    named = ", ".join(str(right) for right in rights[:_MOST_NAMED])
    more = len(rights) - _MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named
