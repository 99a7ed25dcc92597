"""What happened between two looks at a session. Pure; the plain lines and the JSON read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from cascade_operator.cli.view import GroupRow, RunView


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        kind: ``run``, ``stage``, ``groupStarted``, ``groupFinished``, ``groupFailed``,
            ``groupRetry``, ``groupWaits``, ``archive``, ``note`` or ``progress``.
        fields: Its figures, with JSON values only.
        group: The group it is about.
    """

    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    group: GroupRow | None = None

    def to_json(self, elapsed: float | None) -> dict[str, Any]:
        """Returns the line for programs: ``event``, ``elapsedSeconds``, then its figures."""
        line: dict[str, Any] = {"event": self.kind}
        if elapsed is not None:
            line["elapsedSeconds"] = round(elapsed, 1)
        if self.group is not None:
            line["group"] = self.group.key
            line |= {
                _camel(name): value
                for name, value in asdict(self.group).items()
                if name not in {"key", "name", "calls"} and value not in (None, "")
            }
            line |= {_camel(name): value for name, value in asdict(self.group.calls).items()}
        return line | dict(self.fields)


def changes(before: RunView | None, after: RunView) -> tuple[Event, ...]:
    """Returns what happened from one look to the next, in the order a reader expects.

    Args:
        before: The last look, or None for the first.
        after: This look.
    """
    return tuple(_changes(before or RunView(after.session), after))


def heartbeat(view: RunView) -> Event:
    """Returns a sign of life with the run's figures, for the time in which nothing ends."""
    fields: dict[str, Any] = {
        "phase": view.phase,
        "groupsFinished": view.finished_groups,
        "groups": len(view.groups),
        "trials": sum(group.trials or 0 for group in view.groups),
        **{_camel(name): value for name, value in asdict(view.calls).items()},
    }
    optional = {"step": view.step, "percent": view.percent, "remainingSeconds": view.remaining}
    return Event("progress", fields | {k: v for k, v in optional.items() if v not in (None, "")})


def _changes(before: RunView, after: RunView) -> Iterator[Event]:
    new_run = after.session_id != before.session_id
    if new_run:
        yield Event(
            "run",
            {
                "session": after.session,
                "run": after.run,
                "sessionId": after.session_id,
                "groups": len(after.groups),
            },
        )
        before = RunView(after.session, phase="", notes=before.notes)
    ending = after.phase in {"Complete", "Failed", "Suspended"}
    if not ending:
        yield from _stage(before, after)
    old_groups = {group.key: group for group in before.groups}
    for group in after.groups:
        yield from _group(old_groups.get(group.key, GroupRow(group.key, group.name)), group)
    known = {archive.path for archive in before.archives}
    for archive in after.archives:
        if archive.path not in known:
            yield Event(
                "archive",
                {"path": archive.path, "bytes": archive.size, "groupSize": archive.group_size},
            )
    for note in after.notes:
        if note not in before.notes:
            yield Event("note", {"message": note})
    if ending:
        yield from _stage(before, after)


def _stage(before: RunView, after: RunView) -> Iterator[Event]:
    if after.phase == before.phase:
        return
    fields: dict[str, Any] = {"phase": after.phase}
    if after.message:
        fields["message"] = after.message
    if after.warm_started_from and not before.warm_started_from:
        fields["warmStartedFrom"] = after.warm_started_from
    yield Event("stage", fields)


def _group(before: GroupRow, after: GroupRow) -> Iterator[Event]:
    begun = after.attempt > before.attempt or (before.phase != "Running" and not before.done)
    if after.phase == "Running" and begun:
        again = after.attempt > 1 and before.attempt
        yield Event("groupRetry" if again else "groupStarted", group=after)
    waits = after.attempt and after.reason and after.phase in {"Held", "Pending"}
    if waits and (after.phase, after.reason) != (before.phase, before.reason):
        yield Event("groupWaits", group=after)
    if after.done and after.phase != before.phase:
        yield Event("groupFinished" if after.phase == "Succeeded" else "groupFailed", group=after)


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
