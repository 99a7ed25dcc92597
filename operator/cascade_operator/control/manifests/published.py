"""The ConfigMap that publishes a run's best program (58).

It has no owner: what services mount must outlive the session that made it. It is the session's by
its label alone, and whoever deletes the session keeps, or deletes, it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cascade_operator.api.canonical import ordered_json
from cascade_operator.api.published import check_program
from cascade_operator.control.manifests.labels import (
    MANAGED_BY,
    OPERATOR,
    PREFIX,
    SESSION,
    SESSION_UID,
)
from cascade_operator.control.manifests.naming import label_value

PROGRAM_KEY: Final = "program.json"
INSTRUCTIONS_KEY: Final = "instructions.json"

_RUN: Final = f"{PREFIX}/published-run"
_GROUP: Final = f"{PREFIX}/published-group"
_SCORE: Final = f"{PREFIX}/published-score"
_IMPROVEMENT: Final = f"{PREFIX}/published-improvement"
_SHA256: Final = f"{PREFIX}/published-sha256"


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """A program to be published.

    The program lies in the operator's Redis under ``RunKeys(uid, run).program()``.

    Attributes:
        namespace: The session's.
        session: Its name.
        uid: Its uid, which the ConfigMap must be labelled with.
        config_map: The ConfigMap's name.
        run: The run's number.
        group: The best group's key.
        score: Its validation score.
        improvement: Its held-out improvement over the declared program.
        sha256: The program's digest.
        bytes: Its size.
    """

    namespace: str
    session: str
    uid: str
    config_map: str
    run: int
    group: str
    score: str
    improvement: str
    sha256: str
    bytes: int


def build_published(request: PublishRequest, program: bytes) -> dict[str, Any]:
    """Builds the ConfigMap.

    Args:
        request: What to publish.
        program: The program's bytes, as read from Redis.

    Raises:
        ValueError: They are not the program that the request names.
    """
    instructions = check_program(program, sha256=request.sha256, size=request.bytes)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": request.config_map,
            "namespace": request.namespace,
            "labels": {
                MANAGED_BY: OPERATOR,
                SESSION: label_value(request.session),
                SESSION_UID: request.uid,
            },
            "annotations": {
                _RUN: str(request.run),
                _GROUP: request.group,
                _SCORE: request.score,
                _IMPROVEMENT: request.improvement,
                _SHA256: request.sha256,
            },
        },
        "data": {
            PROGRAM_KEY: program.decode("utf-8"),
            INSTRUCTIONS_KEY: ordered_json(instructions),
        },
    }


def may_replace(existing: Mapping[str, Any], request: PublishRequest) -> str:
    """Says why a ConfigMap that is there may not be written; empty where it may.

    Args:
        existing: As read from the cluster.
        request: What to publish.
    """
    metadata = existing.get("metadata") or {}
    labels = metadata.get("labels") or {}
    name = request.config_map
    if labels.get(SESSION_UID) != request.uid:
        return (
            f"the ConfigMap {name} is not this session's; delete it, name another in "
            f"spec.publish.configMap, or give it the label {SESSION_UID}={request.uid}"
        )
    if metadata.get("ownerReferences"):
        return f"the ConfigMap {name} is a run's own; name another in spec.publish.configMap"
    if existing.get("immutable"):
        return f"the ConfigMap {name} is immutable; delete it, or name another"
    return ""


def is_published(existing: Mapping[str, Any], request: PublishRequest) -> bool:
    """Whether a ConfigMap holds what is asked for already, so that nothing is to be written."""
    annotations = (existing.get("metadata") or {}).get("annotations") or {}
    told = (annotations.get(_RUN), annotations.get(_GROUP), annotations.get(_SHA256))
    program = (existing.get("data") or {}).get(PROGRAM_KEY)
    if told != (str(request.run), request.group, request.sha256) or not isinstance(program, str):
        return False
    try:
        check_program(program.encode(), sha256=request.sha256, size=request.bytes)
    except ValueError:
        return False
    return True
