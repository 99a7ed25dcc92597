"""What a reader sees of one session on a cluster, read from the object. Pure.

The object comes from a server, and its status from an operator of any version: what cannot be read
costs a note, never the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from cascade_operator.api.errors import SpecError
from cascade_operator.api.status import ConditionType, HistoryEntry, TrainingSessionStatus
from cascade_operator.cli.status_rows import status_view
from cascade_operator.cli.view import RunView
from cascade_operator.control.domain.run_start import retrain_request
from cascade_operator.control.kube.fields import mapping, number, text, time_of

EVENTS_SHOWN: Final = 8
_TROUBLE: Final = (ConditionType.STALLED, ConditionType.FAILED, ConditionType.RECONCILING)


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event: when it was last seen, its type and reason, and its words."""

    time: datetime | None
    warning: bool
    reason: str
    message: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class SessionPage:
    """One session.

    Attributes:
        namespace: Where it is.
        view: Its run, as the local commands show one.
        reason: Of the condition that matters most.
        trouble: Whether that asks for attention.
        current: Whether status speaks of the spec and the annotations as they are now.
        suspended: Whether ``spec.suspend`` is set.
        deleting: Whether it is being deleted.
        history: Finished runs, the last one first.
        schedule: The cron expression and its time zone; empty where there is none.
        last_schedule: When it fired.
        next_schedule: When it fires.
        events: The newest last.
    """

    namespace: str
    view: RunView
    reason: str = ""
    trouble: bool = False
    current: bool = True
    suspended: bool = False
    deleting: bool = False
    history: tuple[HistoryEntry, ...] = ()
    schedule: str = ""
    last_schedule: datetime | None = None
    next_schedule: datetime | None = None
    events: tuple[EventRow, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether nothing more comes unless somebody asks for it."""
        return self.current and self.view.phase in {"Complete", "Failed"}

    @property
    def invalid(self) -> bool:
        """Whether the spec as it is now cannot be used."""
        return self.current and self.reason == "InvalidSpec"


def status_of(raw: Mapping[str, Any]) -> TrainingSessionStatus:
    """Reads a session's status.

    Raises:
        SpecError: It is none that this version can read.
    """
    try:
        return TrainingSessionStatus.model_validate(mapping(raw.get("status")))
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        name = text(mapping(raw.get("metadata")).get("name"))
        raise SpecError(
            f"the status of {name} cannot be read: status.{where} {error.errors()[0]['msg']}",
            mend="another version of the operator may have written it: use the cascade of that one",
        ) from error


def page_of(
    raw: Mapping[str, Any],
    now: datetime,
    *,
    events: Sequence[Mapping[str, Any]] = (),
    notes: tuple[str, ...] = (),
) -> SessionPage:
    """Reads a session for a reader.

    Args:
        raw: The object.
        now: The time; aware.
        events: Its events, raw.
        notes: What else the reader should know.

    Raises:
        SpecError: Its status is none that this version can read.
    """
    metadata, spec = mapping(raw.get("metadata")), mapping(raw.get("spec"))
    status = status_of(raw)
    seen = status.observed_generation == (number(metadata.get("generation")) or 0)
    asked = retrain_request(
        {key: text(value) for key, value in mapping(metadata.get("annotations")).items()}
    )
    suspended = spec.get("suspend") is True
    retrain = bool(asked) and asked != status.last_retrain_request
    said = [*notes]
    if not seen:
        said.append("the operator has not seen the session as it is now: does it run?")
    elif retrain:
        words = "starts once the session is resumed" if suspended else "is about to start"
        said.append(f"a run was asked for ({asked}) and {words}")
    schedule = text(spec.get("schedule"))
    page = SessionPage(
        namespace=text(metadata.get("namespace")),
        view=replace(status_view(status, text(metadata.get("name")), now, {}), notes=tuple(said)),
        current=seen and (suspended or not retrain),
        suspended=suspended,
        deleting="deletionTimestamp" in metadata,
        history=tuple(status.history),
        schedule=f"{schedule} ({text(spec.get('timeZone')) or 'Etc/UTC'})" if schedule else "",
        last_schedule=status.last_schedule_time,
        next_schedule=status.next_schedule_time,
        events=_event_rows(events),
    )
    return _with_condition(page, status)


def _with_condition(page: SessionPage, status: TrainingSessionStatus) -> SessionPage:
    holding = {c.type: c for c in status.conditions if c.status == "True"}
    trouble = next((holding[kind] for kind in _TROUBLE if kind in holding), None)
    ready = next((c for c in status.conditions if c.type is ConditionType.READY), None)
    shown = trouble or ready
    if shown is None:
        return page
    bad = shown.type is not ConditionType.RECONCILING and trouble is not None
    waits = shown.type is ConditionType.RECONCILING and shown.reason != "Preparing"
    return replace(page, reason=shown.reason, trouble=bad or waits)


def _event_rows(events: Sequence[Mapping[str, Any]]) -> tuple[EventRow, ...]:
    rows = [
        EventRow(
            time=_event_time(event),
            warning=event.get("type") == "Warning",
            reason=text(event.get("reason"), 128),
            message=text(event.get("message")),
            count=_times(event),
        )
        for event in events
    ]
    # Those without a time first: they are the oldest kind of event there is.
    rows.sort(key=lambda row: (row.time is not None, row.time.timestamp() if row.time else 0.0))
    return tuple(rows[-EVENTS_SHOWN:])


def _event_time(event: Mapping[str, Any]) -> datetime | None:
    series = mapping(event.get("series"))
    places = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return next((found for one in places if (found := time_of(one)) is not None), None)


def _times(event: Mapping[str, Any]) -> int:
    return number(mapping(event.get("series")).get("count")) or number(event.get("count")) or 1
