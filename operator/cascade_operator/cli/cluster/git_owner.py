"""Who applies a session from Git, and may undo what is changed by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from cascade_operator.control.kube.fields import mapping, text

_FLUX: Final = "kustomize.toolkit.fluxcd.io"
_ARGO_CD: Final = "argocd.argoproj.io/tracking-id"
# An application's name, behind the namespace that it has where applications are in any.
_APPLICATION: Final = re.compile(r"(?:[a-z0-9.-]{1,63}_)?([a-z0-9.-]{1,253}):")


def suspension_note(raw: Mapping[str, Any], *, on: bool) -> str:
    """Says what becomes of a ``spec.suspend`` that was set by hand; empty where nobody undoes it.

    Args:
        raw: The session as the cluster has it.
        on: What was set.
    """
    metadata = mapping(raw.get("metadata"))
    labels = mapping(metadata.get("labels"))
    if name := text(labels.get(f"{_FLUX}/name")):
        namespace = text(labels.get(f"{_FLUX}/namespace"))
        return (
            f"note: Flux's Kustomization {namespace}/{name} undoes this at its next "
            f"reconciliation. Commit {_field(on)} instead, or stop it first: "
            f"flux suspend kustomization {name} -n {namespace}"
        )
    tracked = text(mapping(metadata.get("annotations")).get(_ARGO_CD))
    if found := _APPLICATION.match(tracked):
        return (
            f"note: Argo CD's application {found[1]} undoes this if it heals itself and Git names "
            f"spec.suspend: then commit {_field(on)} instead"
        )
    return ""


def _field(on: bool) -> str:
    return f"spec.suspend: {str(on).lower()}"
