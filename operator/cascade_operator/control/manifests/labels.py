"""Labels by which a run's children are found, and the reference that owns them.

Children are selected by the owner's uid: a session that is deleted and made again under the same
name never adopts the Jobs of its namesake.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cascade_operator.control.manifests.naming import label_value

API_VERSION: Final = "cascade-operator.dev/v1alpha1"
KIND: Final = "TrainingSession"
PREFIX: Final = "cascade-operator.dev"

SESSION: Final = f"{PREFIX}/session"
SESSION_UID: Final = f"{PREFIX}/session-uid"
RUN: Final = f"{PREFIX}/run"
STAGE: Final = f"{PREFIX}/stage"
GROUP: Final = f"{PREFIX}/group"
ATTEMPT: Final = f"{PREFIX}/attempt"
ARCHIVE_KIND: Final = f"{PREFIX}/archive-kind"
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
OPERATOR: Final = "cascade-operator"
QUEUE: Final = "kueue.x-k8s.io/queue-name"

RETRAIN_ANNOTATION: Final = f"{PREFIX}/retrain"

STAGE_PREPARE: Final = "prepare"
STAGE_GROUP: Final = "group"
STAGE_ARCHIVE: Final = "archive"

ARCHIVE_FINAL: Final = "final"
ARCHIVE_PROGRESSIVE: Final = "progressive"


@dataclass(frozen=True, slots=True)
class Owner:
    """The session that owns a run's objects.

    Attributes:
        name: The TrainingSession's name.
        namespace: Where it and all its children live.
        uid: Its uid, which a namesake does not share.
    """

    name: str
    namespace: str
    uid: str

    def reference(self) -> dict[str, Any]:
        """The ownerReference of a child: deleting the session deletes the child first."""
        return {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": self.name,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }


def run_labels(owner: Owner, run: int) -> dict[str, str]:
    """The labels of every child of a run."""
    return {
        MANAGED_BY: OPERATOR,
        SESSION: label_value(owner.name),
        SESSION_UID: owner.uid,
        RUN: str(run),
    }


def run_of(labels: Mapping[str, str]) -> int | None:
    """The run a child belongs to; None where the label is missing or is no number."""
    text = labels.get(RUN, "")
    return int(text) if text.isascii() and text.isdecimal() else None
