"""The run as plain lines, for a log or a pipe: one line an event. Pure."""

from __future__ import annotations

from cascade_operator.cli.events import Event, changes, heartbeat
from cascade_operator.cli.view import GroupRow, RunView
from cascade_operator.monitoring.figures import (
    count_text,
    delta_text,
    memory_text,
    percent_text,
    score_text,
    seconds_text,
)


def change_lines(before: RunView | None, after: RunView) -> tuple[str, ...]:
    """Returns one line for each thing that happened between two looks at a session."""
    return tuple(stamped(event, after.elapsed) for event in changes(before, after))


def heartbeat_line(view: RunView) -> str:
    """Returns a sign of life with the run's figures."""
    return stamped(heartbeat(view), view.elapsed)


def stamped(event: Event, elapsed: float | None) -> str:
    """One event as a line that begins with the time since the run's start."""
    return f"[{seconds_text(elapsed or 0):>6}] {_text(event)}"


def _text(event: Event) -> str:
    fields = event.fields
    match event.kind:
        case "run":
            return (
                f"run {fields['run']} of {fields['session']}, id {fields['sessionId']}, "
                f"{fields['groups']} node groups"
            )
        case "stage":
            return _stage_text(event)
        case "archive":
            return f"archive written: {fields['path']} ({memory_text(fields['bytes'])})"
        case "note":
            return str(fields["message"])
        case "progress":
            return _progress_text(event)
    return (
        f"group {event.group.name}: {_group_text(event.kind, event.group)}" if event.group else ""
    )


def _stage_text(event: Event) -> str:
    text = f"stage: {event.fields['phase'].lower()}"
    if warm := event.fields.get("warmStartedFrom"):
        text += f", warm start from {warm}"
    if message := event.fields.get("message"):
        text += f" ({message})"
    return text


def _progress_text(event: Event) -> str:
    fields = event.fields
    calls, saved = fields["modelCalls"], fields["savedCalls"]
    parts = [fields["phase"].lower()]
    if step := fields.get("step"):
        parts.append(step)
    if fields["groups"]:
        parts.append(f"{fields['groupsFinished']} of {fields['groups']} groups")
        parts.append(f"{fields['trials']} trials")
    parts.append(f"{count_text(calls)} model calls")
    parts.append(f"saved {percent_text(saved, calls + saved)}")
    if "remainingSeconds" in fields:
        parts.append(f"about {seconds_text(fields['remainingSeconds'])} left")
    return "progress: " + ", ".join(parts)


def _group_text(kind: str, group: GroupRow) -> str:
    limit = f"limit {memory_text(group.limit)}"
    match kind:
        case "groupStarted":
            return f"started ({limit})"
        case "groupRetry":
            return f"attempt {group.attempt} started ({limit})"
        case "groupWaits":
            return f"waits: {_why(group)}"
        case "groupFailed":
            return f"failed after attempt {group.attempt}: {_why(group)}"
    return (
        f"finished ({group.reason or 'done'}), {group.trials or 0} trials, "
        f"{score_text(group.baseline)} -> {score_text(group.best)} "
        f"({delta_text(group.best, group.baseline)}), held-out {score_text(group.held_out)}, "
        f"{count_text(group.calls.model_calls)} model calls, "
        f"saved {count_text(group.calls.saved_calls)}, "
        f"memory {memory_text(group.peak)} of {memory_text(group.limit)}"
    )


def _why(group: GroupRow) -> str:
    parts = [part for part in (group.reason, group.message) if part]
    return ": ".join(parts) or "no reason was given"
