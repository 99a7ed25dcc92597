"""Diagnosis (82): why a Job's pod does not start, and what a person can do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cascade_operator.control.domain.model import PodView

NO_POD_SECONDS: Final = 60.0
"""How long a Job may be without a pod before that is a finding: its controller is that quick."""


class BlockReason(StrEnum):
    """Why nothing runs. A stable contract: alerts and documentation refer to these words."""

    VOLUME_UNAVAILABLE = "VolumeUnavailable"
    UNSCHEDULABLE = "Unschedulable"
    IMAGE_UNAVAILABLE = "ImageUnavailable"
    CONFIG_UNAVAILABLE = "ConfigUnavailable"
    CONTAINER_UNSTARTABLE = "ContainerUnstartable"
    NO_POD = "NoPod"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A finding.

    Attributes:
        reason: In one word.
        message: The cluster's own words.
        mend: What to do.
    """

    reason: BlockReason
    message: str
    mend: str


_VOLUME: Final = re.compile(r"persistentvolumeclaim|volume node affinity|unbound.*claim", re.I)
_IMAGE: Final = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
    | {"ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed"}
)
_UNSTARTABLE: Final = frozenset(
    {"RunContainerError", "CreateContainerError", "StartError", "ContainerCannotRun"}
)


def diagnose(pod: PodView | None, pending_seconds: float) -> Diagnosis | None:
    """Says why a pending Job does not run; None where it just needs more time.

    Args:
        pod: Its pod, as far as one is known.
        pending_seconds: How long the Job has been pending.
    """
    if pod is None:
        return _no_pod() if pending_seconds >= NO_POD_SECONDS else None
    return _volume(pod) or _unschedulable(pod) or _image(pod) or _config(pod) or _unstartable(pod)


def _no_pod() -> Diagnosis:
    return Diagnosis(
        BlockReason.NO_POD,
        "the Job has no pod",
        "see `kubectl describe` of the Job: a ResourceQuota, a LimitRange or an admission rule "
        "may refuse its pod",
    )


def _volume(pod: PodView) -> Diagnosis | None:
    if not _VOLUME.search(pod.unschedulable):
        return None
    return Diagnosis(
        BlockReason.VOLUME_UNAVAILABLE,
        pod.unschedulable,
        "create the PersistentVolumeClaim that the session names, or name one that is bound",
    )


def _unschedulable(pod: PodView) -> Diagnosis | None:
    if not pod.unschedulable:
        return None
    return Diagnosis(
        BlockReason.UNSCHEDULABLE,
        pod.unschedulable,
        "free or add nodes, lower the requests under spec.resources, or mend node selectors and "
        "tolerations in spec.jobTemplate",
    )


def _image(pod: PodView) -> Diagnosis | None:
    if pod.waiting_reason not in _IMAGE:
        return None
    return Diagnosis(
        BlockReason.IMAGE_UNAVAILABLE,
        _waiting(pod),
        "mend spec.image, or give the pod imagePullSecrets in spec.jobTemplate",
    )


def _config(pod: PodView) -> Diagnosis | None:
    if pod.waiting_reason != "CreateContainerConfigError":
        return None
    return Diagnosis(
        BlockReason.CONFIG_UNAVAILABLE,
        _waiting(pod),
        "create the Secret or ConfigMap it names in the session's namespace",
    )


def _unstartable(pod: PodView) -> Diagnosis | None:
    if pod.waiting_reason not in _UNSTARTABLE:
        return None
    return Diagnosis(
        BlockReason.CONTAINER_UNSTARTABLE,
        _waiting(pod),
        "check that the image holds the `cascade` command and may run as a non-root user",
    )


def _waiting(pod: PodView) -> str:
    return f"{pod.waiting_reason}: {pod.waiting_message}".rstrip(": ")
