"""What must hold after any fault: one Job an attempt, no orphan, a true status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from api.life import at_work_when_over, created, is_complete, steps_back, together, twice
from api.rest import ApiError, Rest, wait_for
from api.session_bed import Session, brief
from cascade_operator.control.manifests import labels


def assert_whole(
    session: Session,
    *,
    run: int = 1,
    groups: int = 3,
    attempts: Collection[int] = (1,),
    made_again: Collection[str] = (),
    scribbled: bool = False,
) -> dict[str, Any]:
    """The session is Complete, and each group of its run was trained by exactly one Job.

    Args:
        session: The session.
        run: The run that is to be complete.
        groups: How many there are.
        attempts: What each group may have taken.
        made_again: Parts whose Job went, by the test's hand or for a suspension.
        scribbled: The test wrote another status, which may have taken something back.

    Returns:
        Its status.
    """
    status = session.wait(f"run {run} is complete", lambda status: is_complete(status, run))
    # At once: a pod that works on when status says that all is over is seen here, or never.
    at_work = [
        name
        for name, pod in session.pods().items()
        if pod["status"]["phase"] not in ("Succeeded", "Failed")
    ]
    assert at_work == [], f"pods at work after the end: {at_work}"
    said = brief(status)
    assert [group["phase"] for group in status["groups"]] == ["Succeeded"] * groups, said
    assert {group["attempt"] for group in status["groups"]} <= set(attempts), said
    assert all(float(group["score"]) > 0 for group in status["groups"]), said
    assert status["groupsSummary"] == f"{groups}/{groups}", said
    holds = session.true()
    assert holds == {"Ready": "Complete", "Complete": "Complete"}, f"{holds}"
    assert status["observedGeneration"] == session.raw()["metadata"]["generation"]
    faults = _faults_of_life(session, status, run, made_again, scribbled=scribbled)
    assert faults == {}, f"{faults}"
    # A run is over when its pods have ended; the Job controller's own records follow.
    wait_for("the Jobs' records", lambda: all(map(_ended, session.jobs().values())))
    done = Counter(
        held[labels.GROUP]
        for job in session.jobs().values()
        if (held := job["metadata"]["labels"]).get(labels.GROUP)
        and held[labels.RUN] == str(run)
        and _succeeded(job)
    )
    expected = {group["name"]: 1 for group in status["groups"]}
    assert done == expected, f"Jobs that succeeded by group: {done}"
    return status


def _faults_of_life(
    session: Session,
    status: dict[str, Any],
    run: int,
    made_again: Collection[str],
    *,
    scribbled: bool,
) -> dict[str, list[str]]:
    """What was recorded from the first write on, not only what was left at the end."""
    wait_for(
        "the end is recorded",
        lambda: any(is_complete(raw["status"], run) for raw in session.versions()),
    )
    life = session.life()
    made = created(life)
    keys = [(str(run), group["name"], str(group["attempt"])) for group in status["groups"]]
    found = {
        "no Job recorded": [f"{key}" for key in keys if not made[key]],
        "made twice": twice(life, made_again=made_again),
        "at work together": together(life, made_again=made_again),
        "at work after the end": [] if scribbled else at_work_when_over(life, run),
        "taken back": [] if scribbled else steps_back(life),
    }
    return {what: which for what, which in found.items() if which}


def assert_no_orphans(rest: Rest, namespace: str) -> None:
    """Every child's owner is there; what has lost it is collected, which takes a moment."""
    wait_for(f"no orphan in {namespace}", lambda: not orphans(rest, namespace))


def orphans(rest: Rest, namespace: str) -> list[str]:
    """Jobs, pods and ConfigMaps of sessions whose owner is gone."""
    base = f"/namespaces/{namespace}"
    sessions = _items(rest, f"/apis/{labels.API_VERSION}{base}/trainingsessions")
    jobs = _items(rest, f"/apis/batch/v1{base}/jobs", labelSelector=labels.SESSION_UID)
    pods = _items(rest, f"/api/v1{base}/pods", labelSelector=labels.SESSION_UID)
    maps = _items(rest, f"/api/v1{base}/configmaps", labelSelector=labels.RUN)
    uids = {one["metadata"]["uid"] for one in (*sessions, *jobs)}
    return [
        f"{child.get('kind', 'object')} {child['metadata']['name']}"
        for child in (*jobs, *pods, *maps)
        if not {owner["uid"] for owner in child["metadata"].get("ownerReferences", [])} & uids
    ]


def _items(rest: Rest, path: str, **query: str) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = rest.get(path, **query)["items"]
    except ApiError as error:
        if error.status == 404:  # the CRD was removed
            return []
        raise
    return found


def _condition(job: dict[str, Any], kind: str) -> bool:
    found = job.get("status", {}).get("conditions", [])
    return any(c["type"] == kind and c["status"] == "True" for c in found)


def _succeeded(job: dict[str, Any]) -> bool:
    return _condition(job, "Complete")


def _ended(job: dict[str, Any]) -> bool:
    return _succeeded(job) or _condition(job, "Failed")
