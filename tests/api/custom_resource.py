"""The project's custom resource definition on a control plane."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from api.rest import ApiError, Rest, wait_for

ROOT: Final = Path(__file__).parents[2]
FILE: Final = ROOT / "crds" / "cascade-operator.dev_trainingsessions.yaml"
NAME: Final = "trainingsessions.cascade-operator.dev"
GROUP_VERSION: Final = "cascade-operator.dev/v1alpha1"

_CRDS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def install_crd(rest: Rest) -> dict[str, Any]:
    """Creates the definition where it is missing, and waits until it is served.

    Raises:
        ApiError: The server refuses it, such as for a CEL rule that costs too much.
    """
    try:
        rest.create(_CRDS, yaml.safe_load(FILE.read_text(encoding="utf-8")))
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise
    found = wait_for("the CRD is established", lambda: _established(rest))
    # Established comes before the first request for its objects is answered.
    wait_for("sessions are served", lambda: rest.get(sessions_path("default")))
    return found


def delete_crd(rest: Rest) -> None:
    """Deletes the definition and with it every session; waits until it is gone."""
    rest.delete(f"{_CRDS}/{NAME}")
    wait_for("the CRD is gone", lambda: NAME not in _names(rest))


def sessions_path(namespace: str, name: str = "", subresource: str = "") -> str:
    """The path of a namespace's sessions, of one, or of its status."""
    parts = [f"/apis/{GROUP_VERSION}/namespaces/{namespace}/trainingsessions", name, subresource]
    return "/".join(part for part in parts if part)


def _established(rest: Rest) -> dict[str, Any] | None:
    found = rest.get(f"{_CRDS}/{NAME}")
    # Null until the server has looked at it.
    conditions = found["status"].get("conditions") or []
    ready = {c["type"] for c in conditions if c["status"] == "True"}
    return found if "Established" in ready else None


def _names(rest: Rest) -> set[str]:
    return {item["metadata"]["name"] for item in rest.get(_CRDS)["items"]}
