"""What a recorded life of a session must never show, whatever befell it. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from api.recorder import ADDED, DELETED, JOBS, PODS, SESSIONS, Change
from cascade_operator.control.manifests import labels

Attempt = tuple[str, str, str]
"""Run, ``prepare``, ``archive`` or a group's key, and attempt, as the Job's labels have them."""


def attempt_of(change: Change) -> Attempt:
    """What a Job, or a Job's pod, was made for."""
    held = change.labels
    part = held.get(labels.GROUP) or held[labels.STAGE]
    return held[labels.RUN], part, held[labels.ATTEMPT]


def created(changes: Iterable[Change]) -> Counter[Attempt]:
    """How many Jobs were ever created for each attempt."""
    jobs = (one for one in changes if one.kind == JOBS and one.type == ADDED)
    return Counter(attempt_of(one) for one in jobs)


def twice(changes: Iterable[Change], *, made_again: Collection[str] = ()) -> list[str]:
    """Attempts for which more than one Job was created.

    Args:
        changes: A session's.
        made_again: Parts whose Job was deleted, by a test or for a suspension, and made again.
    """
    found = created(changes).items()
    return [
        f"{times} Jobs for {attempt}"
        for attempt, times in found
        if times > 1 and attempt[1] not in made_again
    ]


def together(changes: Iterable[Change], *, made_again: Collection[str] = ()) -> list[str]:
    """Moments at which pods of two Jobs of one part of a run were at work.

    Args:
        changes: A session's.
        made_again: Parts whose Job was deleted: its pod may still leave when the next starts.
    """
    at_work: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    found = []
    for one in changes:
        if one.kind != PODS:
            continue
        run, part, _ = attempt_of(one)
        held = at_work[run, part]
        if not is_at_work(one):
            held.pop(one.uid, None)
            continue
        held[one.uid] = _job_of(one)
        jobs = sorted(set(held.values()))
        if len(jobs) > 1 and part not in made_again:
            found.append(f"{' and '.join(jobs)} at version {one.version}")
    return found


def at_work_when_over(changes: Iterable[Change], run: int) -> list[str]:
    """Pods that had not ended at the moment at which status first called a run Complete."""
    at_work: dict[str, str] = {}
    for one in changes:
        if one.kind == PODS:
            at_work[one.uid] = one.raw["metadata"]["name"]
            if not is_at_work(one):
                del at_work[one.uid]
        elif one.kind == SESSIONS and is_complete(one.raw.get("status") or {}, run):
            break
    return sorted(at_work.values())


def steps_back(changes: Iterable[Change]) -> list[str]:
    """What a later status took back: a run's number, an attempt, a group that had succeeded."""
    before: dict[str, tuple[int, int, str]] = {}
    found = []
    for one in changes:
        if one.kind != SESSIONS or one.type == DELETED:
            continue
        for name, now in _standings(one.raw.get("status") or {}):
            last = before.get(name, now)
            lost = now[:2] == last[:2] and last[2] == "Succeeded" != now[2]
            if now[:2] < last[:2] or lost:
                found.append(f"{name} from {last} to {now} at version {one.version}")
            before[name] = now
    return found


def is_at_work(pod: Change) -> bool:
    """Whether a pod holds its place: it was not deleted and has not ended."""
    ended = pod.raw.get("status", {}).get("phase") in ("Succeeded", "Failed")
    return pod.type != DELETED and not ended


def is_complete(status: dict[str, Any], run: int) -> bool:
    """Whether a status says that a run is over and all is well."""
    current = status.get("run") or {}
    ended = current.get("number") == run and "completionTime" in current
    return ended and status.get("phase") == "Complete"


def _standings(status: dict[str, Any]) -> Iterator[tuple[str, tuple[int, int, str]]]:
    """Of each group: run, attempt and phase."""
    number = (status.get("run") or {}).get("number", 0)
    for group in status.get("groups", []):
        yield group["name"], (number, group.get("attempt", 0), group.get("phase", ""))


def _job_of(pod: Change) -> str:
    owners: list[dict[str, str]] = pod.raw["metadata"].get("ownerReferences", [])
    return next((owner["uid"] for owner in owners if owner["kind"] == "Job"), pod.uid)
