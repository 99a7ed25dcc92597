"""Diagnosis (82): why a Job or its pod does not start, and what a person can do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cascade_operator.control.domain.model import PodView, Refusal

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
    POD_REFUSED = "PodRefused"
    QUOTA_EXCEEDED = "QuotaExceeded"
    FORBIDDEN = "Forbidden"
    JOB_REFUSED = "JobRefused"
    NAME_CONFLICT = "NameConflict"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A finding.

    Attributes:
        reason: In one word.
        message: The cluster's own words.
        mend: What to do.
        final: Waiting helps nothing: only a person can mend it.
    """

    reason: BlockReason
    message: str
    mend: str
    final: bool = False


REFUSALS: Final = frozenset(
    {
        BlockReason.QUOTA_EXCEEDED,
        BlockReason.FORBIDDEN,
        BlockReason.JOB_REFUSED,
        BlockReason.NAME_CONFLICT,
    }
)
"""Findings that only the next ``create`` confirms or ends."""

_QUOTA: Final = re.compile(r"exceeded quota|failed quota", re.I)
_LIMIT_RANGE: Final = re.compile(r"(minimum|maximum|limit to request ratio).*\bper\b", re.I)
_POD_SECURITY: Final = re.compile(r"podsecurity", re.I)
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
    return (
        _refused_pod(pod)
        or _volume(pod)
        or _unschedulable(pod)
        or _image(pod)
        or _config(pod)
        or _unstartable(pod)
    )


def diagnose_refusal(refusal: Refusal) -> Diagnosis:
    """Says why the API server will not have a Job or ConfigMap.

    What is ``Invalid`` now stays so until someone changes it, so it does not wait for a deadline;
    a quota is freed by others, and a permission or a namespace may be on its way.
    """
    if _QUOTA.search(refusal.message):
        return _over_quota(refusal.message)
    if refusal.reason == BlockReason.NAME_CONFLICT:
        return Diagnosis(
            BlockReason.NAME_CONFLICT,
            refusal.message,
            "delete or rename the object of that name, which is not this session's",
        )
    if refusal.reason in ("Invalid", "BadRequest"):
        return Diagnosis(
            BlockReason.JOB_REFUSED,
            refusal.message,
            "mend spec.jobTemplate, which the Job is made from, or the admission policy that "
            "refuses it",
            final=True,
        )
    return Diagnosis(
        BlockReason.FORBIDDEN,
        refusal.message,
        "let the operator's service account create Jobs and ConfigMaps in this namespace, and see "
        "which admission rule refuses them",
    )


def _over_quota(words: str) -> Diagnosis:
    return Diagnosis(
        BlockReason.QUOTA_EXCEEDED,
        words,
        "raise the namespace's ResourceQuota, or lower spec.parallelism or what is asked for under "
        "spec.resources",
    )


def _refused_pod(pod: PodView) -> Diagnosis | None:
    if not pod.refused:
        return None
    if _QUOTA.search(pod.refused):
        return _over_quota(pod.refused)
    mend = "see which admission rule of the namespace refuses the pod"
    if _POD_SECURITY.search(pod.refused):
        mend = "mend what spec.jobTemplate changes about the pod, or the namespace's pod security"
    elif _LIMIT_RANGE.search(pod.refused):
        mend = "fit spec.resources and spec.memory into the namespace's LimitRange"
    return Diagnosis(BlockReason.POD_REFUSED, pod.refused, mend)


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
