"""Whether every version of a session is as healthy as its life says, for Flux and Argo CD alike."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from fakes.argo_lua import argo_health
from fakes.documents import DOCS, snippet
from fakes.kstatus import Computed, compute

_LUA: Final = DOCS / "argocd-health.lua"
_ARGO: Final = {
    "InProgress": {"Progressing"},
    "Terminating": {"Progressing"},
    "Current": {"Healthy", "Suspended"},
    "Failed": {"Degraded"},
}
"""What Argo CD may say where kstatus says so; it alone knows a suspension."""

_ALLOWED: Final = {
    "Pending": {"InProgress", "Failed"},
    "Preparing": {"InProgress", "Failed"},
    "Training": {"Current", "InProgress", "Failed"},
    "Archiving": {"Current", "InProgress", "Failed"},
    "Suspended": {"Current"},
    "Complete": {"Current"},
    "Failed": {"Failed"},
}
"""What kstatus may say in a phase that speaks of the session as it is."""


def assert_health(program: Path, versions: Iterable[dict[str, Any]]) -> int:
    """Holds each version against kstatus, Flux's wait for the result, and Argo CD's check.

    Args:
        program: Asks kstatus and Flux's expressions.
        versions: Of any sessions, as a watch has shown them.

    Returns:
        How many different ones there were.
    """
    found = {raw["metadata"]["resourceVersion"]: raw for raw in versions}
    raws = list(found.values())
    (result,) = snippet("gitops.md", "Kustomization", "training-result")["spec"]["healthCheckExprs"]
    lua = _LUA.read_text(encoding="utf-8")
    for raw, one in zip(raws, compute(program, raws, result), strict=True):
        faults = list(_faults(raw, one, *argo_health(lua, raw)))
        assert not faults, (faults, raw["metadata"]["name"], raw.get("status"))
    return len(raws)


def _faults(raw: dict[str, Any], one: Computed, argo: str, said: str) -> Iterable[str]:
    status = raw.get("status", {})
    true = {c["type"]: c for c in status.get("conditions", ()) if c["status"] == "True"}
    if argo not in _ARGO[one.status]:
        yield f"kstatus says {one.status}, Argo CD {argo}"
    if not said and argo != "Healthy":
        yield f"Argo CD says {argo} and not why"
    if {"Stalled", "Reconciling"} <= true.keys():
        yield "Stalled and Reconciling"
    if {"Complete", "Failed"} <= true.keys():
        yield "Complete and Failed"
    if "deletionTimestamp" not in raw["metadata"]:
        yield from _faults_of_state(raw, one, true)


def _faults_of_state(
    raw: dict[str, Any], one: Computed, true: dict[str, dict[str, Any]]
) -> Iterable[str]:
    """Of a session that is there to stay: what the table of its status promises."""
    status = raw.get("status", {})
    phase = status.get("phase", "")
    if status.get("observedGeneration") != raw["metadata"]["generation"]:
        if (one.status, one.flux) != ("InProgress", "InProgress"):
            yield f"not seen yet, and {one.status} ({one.flux})"
        return
    if "Stalled" in true and true["Stalled"]["reason"] == "InvalidSpec":
        # The phase is that of the last run, whose spec was another.
        if (one.status, one.flux) != ("Failed", "Failed"):
            yield f"invalid, and {one.status} ({one.flux})"
        return
    if (one.status == "Current") is not ("Ready" in true):
        yield f"kstatus says {one.status}, and Ready is {'Ready' in true}"
    queued = "Ready" in true and true["Ready"]["reason"] == "Queued"
    if one.status not in _ALLOWED[phase] | ({"Current"} if queued else set()):
        yield f"{phase}, and kstatus says {one.status}: {one.message}"
    # Whoever waits for the result is told of it neither early nor late.
    if (one.flux == "Current") is not (phase == "Complete"):
        yield f"{phase}, and the result is {one.flux}"
