"""What somebody else might write into a session's status, each a merge patch made from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

Status = Mapping[str, Any]
Scribble = Callable[[Status], dict[str, Any]]

_FAR: Final = "2999-01-01T00:00:00Z"
_LAST: Final = "9999-12-31T23:59:59Z"
_REVERSED: Final = {
    "Pending": "Succeeded",
    "Running": "Pending",
    "Succeeded": "Pending",
    "Failed": "Running",
}
_TYPES: Final = ("Ready", "Reconciling", "Stalled", "Complete", "Failed", "Suspended")


def _groups(status: Status, **changes: Any) -> dict[str, Any]:
    """Changes all groups that have begun."""
    held = status.get("groups", [])
    return {"groups": [{**g, **changes} if g.get("attempt") else dict(g) for g in held]}


def _no_groups(status: Status) -> dict[str, Any]:
    del status
    return {"groups": [], "groupsSummary": "0/0", "groupsTotal": 0}


def _foreign_groups(status: Status) -> dict[str, Any]:
    more = {"nodes": ["nobody"], "phase": "Running", "attempt": 3, "jobName": "somebody-elses"}
    foreign = [{"name": f"{number:02d}_77", **more} for number in range(9)]
    return {"groups": [*foreign, *status.get("groups", [])]}


def _nodes_changed(status: Status) -> dict[str, Any]:
    return {"groups": [{**group, "nodes": ["nobody"]} for group in status.get("groups", [])]}


def _phases_reversed(status: Status) -> dict[str, Any]:
    held = status.get("groups", [])
    return {"groups": [{**g, "phase": _REVERSED[g.get("phase", "Pending")]} for g in held]}


def _all_ended(status: Status) -> dict[str, Any]:
    return {"groups": [{**group, "phase": "Succeeded"} for group in status.get("groups", [])]}


def _all_failed(status: Status) -> dict[str, Any]:
    return {"groups": [{**group, "phase": "Failed"} for group in status.get("groups", [])]}


def _attempts_gone(status: Status) -> dict[str, Any]:
    return _groups(status, attempt=0, failures=0, jobName="", phase="Pending")


def _attempts_raised(status: Status) -> dict[str, Any]:
    held = status.get("groups", [])
    return {"groups": [{**g, "attempt": 7} if g["phase"] == "Running" else g for g in held]}


def _other_jobs(status: Status) -> dict[str, Any]:
    return _groups(status, jobName="somebody-elses", phase="Running")


def _far_pauses(status: Status) -> dict[str, Any]:
    held = status.get("groups", [])
    return {"groups": [{**group, "retryTime": _FAR} for group in held]}


def _the_last_day(status: Status) -> dict[str, Any]:
    """Whatever is added to these times is none."""
    entry = {"number": 1, "sessionId": "s", "phase": "Failed", "completionTime": _LAST}
    return {
        "groups": [{**group, "startTime": _LAST} for group in status.get("groups", [])],
        "history": [entry],
        "lastScheduleTime": _LAST,
        "run": {
            "lastArchiveTime": _LAST,
            "prepare": {"startTime": _LAST, "retryTime": _LAST},
            "archive": {"startTime": _LAST},
        },
    }


def _memory_of_words(status: Status) -> dict[str, Any]:
    held = status.get("groups", [])
    words = {"memoryLimit": "lots", "peakMemory": "more than that"}
    return {
        "groups": [{**group, **words} for group in held],
        "run": {"prepare": words, "archive": words},
    }


def _memory_of_a_planet(status: Status) -> dict[str, Any]:
    held = status.get("groups", [])
    return {
        "groups": [{**group, "memoryLimit": "900Pi"} for group in held],
        "run": {"archive": {"memoryLimit": "900Pi"}},
    }


def _a_huge_run(status: Status) -> dict[str, Any]:
    del status
    return {"run": {"number": 2**31 - 1}}


def _an_early_end(status: Status) -> dict[str, Any]:
    del status
    said = {"type": "Complete", "status": "True", "reason": "Complete", "message": "all done"}
    when = "2026-01-01T00:00:00Z"
    return {
        "phase": "Complete",
        "groupsSummary": "99/3",
        "run": {"completionTime": when},
        "conditions": [{**said, "lastTransitionTime": when}],
    }


def _archived_early(status: Status) -> dict[str, Any]:
    del status
    return {"run": {"archive": {"phase": "Succeeded", "kind": "final", "attempt": 1}}}


def _an_unheard_of_archive(status: Status) -> dict[str, Any]:
    del status
    return {"run": {"archive": {"kind": "sideways", "phase": "Succeeded", "attempt": 0}}}


def _not_prepared(status: Status) -> dict[str, Any]:
    del status
    return {"run": {"prepare": {"phase": "Pending", "attempt": 0, "jobName": ""}}}


def _failed_to_prepare(status: Status) -> dict[str, Any]:
    del status
    return {"run": {"prepare": {"phase": "Failed"}}}


def _contrary_conditions(status: Status) -> dict[str, Any]:
    del status
    said = {"status": "True", "reason": "Scribbled", "message": "m" * 1024}
    when = {"lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 2**53 - 1}
    return {"phase": "Failed", "conditions": [{"type": one, **said, **when} for one in _TYPES]}


def _as_much_as_there_is_room_for(status: Status) -> dict[str, Any]:
    held = status.get("groups", [])
    entry = {"number": 2**31 - 1, "sessionId": "s" * 32, "phase": "Failed", "reason": "r" * 63}
    return {
        "observedGeneration": 2**53 - 1,
        "groups": [{**g, "reason": "r" * 128, "message": "m" * 160} for g in held],
        "history": [entry] * 100,
        "archives": [{"groupSize": 0, "path": "p" * 1024, "sha256": "s" * 64, "bytes": 1}] * 6,
        "run": {
            "archivedGroups": ["g" * 32] * 63,
            "prepare": {"message": "m" * 1024, "reason": "r" * 128},
        },
    }


SCRIBBLES: Final[Mapping[str, Scribble]] = {
    "no groups": _no_groups,
    "foreign groups": _foreign_groups,
    "nodes changed": _nodes_changed,
    "phases reversed": _phases_reversed,
    "all ended": _all_ended,
    "all failed": _all_failed,
    "attempts gone": _attempts_gone,
    "attempts raised": _attempts_raised,
    "other jobs": _other_jobs,
    "far pauses": _far_pauses,
    "the last day": _the_last_day,
    "memory of words": _memory_of_words,
    "memory of a planet": _memory_of_a_planet,
    "a huge run": _a_huge_run,
    "an early end": _an_early_end,
    "archived early": _archived_early,
    "an unheard of archive": _an_unheard_of_archive,
    "not prepared": _not_prepared,
    "failed to prepare": _failed_to_prepare,
    "contrary conditions": _contrary_conditions,
    "as much as there is room for": _as_much_as_there_is_room_for,
}
"""By what is wrong with them; the run is the same one afterwards, and its Jobs are still made once.

Not all of them leave everything else as it was: what no Job says is believed.
"""


def _the_run_is_gone(status: Status) -> dict[str, Any]:
    del status
    return {"run": None}


def _everything_is_gone(status: Status) -> dict[str, Any]:
    return dict.fromkeys(status)


def _started_on_the_last_day(status: Status) -> dict[str, Any]:
    del status
    return {"run": {"startTime": _LAST}}


def _another_spec(status: Status) -> dict[str, Any]:
    del status
    return {"run": {"specHash": "v1:0"}}


REPLACING: Final[Mapping[str, Scribble]] = {
    "the run is gone": _the_run_is_gone,
    "everything is gone": _everything_is_gone,
    "started on the last day": _started_on_the_last_day,
    "another spec": _another_spec,
}
"""What takes away all that says which run it was: another one replaces it."""


def merged(status: Status, patch: Mapping[str, Any]) -> dict[str, Any]:
    """The status with a merge patch in it (RFC 7396)."""
    found = dict(status)
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        elif isinstance(value, Mapping):
            held = found.get(name)
            found[name] = merged(held if isinstance(held, Mapping) else {}, value)
        else:
            found[name] = value
    return found
