"""The Event object of a transition (82)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from cascade_operator.control.manifests.labels import API_VERSION, KIND, OPERATOR, Owner

_MOST_WORDS: Final = 950


def build_event(
    owner: Owner, name: str, time: datetime, *, kind: str, reason: str, message: str, instance: str
) -> dict[str, Any]:
    """Builds an Event on a session.

    Args:
        owner: The session.
        name: The Event's name.
        time: When it happened; in UTC.
        kind: ``Normal`` or ``Warning``.
        reason: In one word.
        message: For a reader; shortened to what the API takes.
        instance: Who reports it; the pod's name.
    """
    stamp = f"{time:%Y-%m-%dT%H:%M:%SZ}"
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": owner.namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": owner.name,
            "namespace": owner.namespace,
            "uid": owner.uid,
        },
        "type": kind,
        "reason": reason,
        "message": message[:_MOST_WORDS],
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
        "source": {"component": OPERATOR},
        "reportingComponent": OPERATOR,
        "reportingInstance": instance,
    }
