"""A status in the making, and the events its transitions make."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from cascade_operator.api.session import TrainingSessionSpec
from cascade_operator.api.status import (
    GroupPhase,
    GroupStatus,
    RunStatus,
    StageStatus,
    TrainingSessionStatus,
)
from cascade_operator.control.domain.model import Event, EventType, Observed

_TEXT_MOST: Final = 1024
_LINE_MOST: Final = 160
_ELLIPSIS: Final = "..."

Part = StageStatus | GroupStatus
"""What has attempts: a stage of the run, or a group."""


def bounded(text: str, most: int = _TEXT_MOST) -> str:
    """Shortens a text to what a field of the status, or an event, may hold."""
    return text if len(text) <= most else text[: most - len(_ELLIPSIS)] + _ELLIPSIS


def is_terminal(part: Part) -> bool:
    """Whether a group, or a stage, needs no further Job."""
    return part.phase in (GroupPhase.SUCCEEDED, GroupPhase.FAILED)


@dataclass(frozen=True, slots=True)
class Situation:
    """What a step is decided from.

    Attributes:
        observed: The session and its children.
        spec: The resolved spec.
        now: The time, in UTC and whole seconds as status holds it.
    """

    observed: Observed
    spec: TrainingSessionSpec
    now: datetime


@dataclass(frozen=True, slots=True)
class Draft:
    """A status on its way from the observed one to the next.

    Attributes:
        status: As it stands so far.
        events: Of the transitions so far.
        short_of_memory: Names of Jobs that only the memory budget keeps waiting.
    """

    status: TrainingSessionStatus
    events: tuple[Event, ...] = ()
    short_of_memory: tuple[str, ...] = ()

    @property
    def run(self) -> RunStatus:
        """The run.

        Raises:
            ValueError: There is none; only steps of a run ask.
        """
        if self.status.run is None:
            raise ValueError("a session without a run has no step of one")
        return self.status.run

    @property
    def prepare(self) -> StageStatus:
        """The run's prepare stage."""
        return self.run.prepare

    @property
    def archive(self) -> StageStatus:
        """The run's archive stage."""
        return self.run.archive

    @property
    def groups(self) -> list[GroupStatus]:
        """The run's groups, small ones first, then in cascade order."""
        return self.status.groups

    @property
    def parts(self) -> tuple[Part, ...]:
        """Both stages and all groups: whatever has attempts."""
        return (self.prepare, self.archive, *self.groups)

    @property
    def all_terminal(self) -> bool:
        """Whether no group needs a further Job."""
        return all(is_terminal(group) for group in self.groups)

    def put(self, **changes: Any) -> Draft:
        """Changes fields of the status."""
        return replace(self, status=self.status.model_copy(update=changes))

    def put_run(self, **changes: Any) -> Draft:
        """Changes fields of the run."""
        return self.put(run=self.run.model_copy(update=changes))

    def put_prepare(self, **changes: Any) -> Draft:
        """Changes fields of the prepare stage."""
        return self.put_run(prepare=self.prepare.model_copy(update=changes))

    def put_archive(self, **changes: Any) -> Draft:
        """Changes fields of the archive stage."""
        return self.put_run(archive=self.archive.model_copy(update=changes))

    def put_group(self, name: str, **changes: Any) -> Draft:
        """Changes fields of one group; there are up to 63, so a message has one line."""
        if "message" in changes:
            changes["message"] = bounded(changes["message"], _LINE_MOST)
        return self.put(
            groups=[
                group.model_copy(update=changes) if group.name == name else group
                for group in self.groups
            ]
        )

    def note(self, reason: str, message: str) -> Draft:
        """Adds a normal event."""
        return self._add(EventType.NORMAL, reason, message)

    def warn(self, reason: str, message: str) -> Draft:
        """Adds a warning."""
        return self._add(EventType.WARNING, reason, message)

    def _add(self, kind: EventType, reason: str, message: str) -> Draft:
        return replace(self, events=(*self.events, Event(kind, reason, bounded(message))))
