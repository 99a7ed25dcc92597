"""Progressive archiving (50): when the next archive Job is due, and of which kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class ArchiveKind(StrEnum):
    """What an archive Job writes."""

    PROGRESSIVE = "progressive"
    FINAL = "final"


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """What this policy needs of a group.

    Attributes:
        key: ``00_02``.
        size: Its nodes.
        terminal: Succeeded, or failed for good.
        succeeded: It has something to archive.
    """

    key: str
    size: int
    terminal: bool
    succeeded: bool


@dataclass(frozen=True, slots=True)
class ArchiveClock:
    """What this policy needs of the run.

    Attributes:
        start: When the run started.
        last: When its last archive was written.
        interval: ``archive.interval`` in seconds.
        archived: Keys of the groups that an archive holds.
    """

    start: datetime
    last: datetime | None
    interval: float
    archived: frozenset[str]

    @property
    def next_time(self) -> datetime:
        """When the interval asks for an archive."""
        return (self.last or self.start) + timedelta(seconds=self.interval)


def due_archive(
    groups: Sequence[GroupSummary], clock: ArchiveClock, now: datetime
) -> ArchiveKind | None:
    """The archive that is due, if any.

    The final one is due once every group is terminal. Before, one is due when a group size has
    completed that no archive holds, and whenever the interval is over: also where no group has
    finished since, for it keeps the running searches' checkpoints.
    """
    if all(group.terminal for group in groups):
        return ArchiveKind.FINAL
    if now >= clock.next_time:
        return ArchiveKind.PROGRESSIVE
    new = [g for g in groups if g.succeeded and g.key not in clock.archived]
    open_sizes = {g.size for g in groups if not g.terminal}
    return ArchiveKind.PROGRESSIVE if any(g.size not in open_sizes for g in new) else None


def anything_to_archive(groups: Iterable[GroupSummary]) -> bool:
    """Whether a final archive would hold any group at all."""
    return any(group.succeeded for group in groups)
