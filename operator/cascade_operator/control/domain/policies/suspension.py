"""Suspension (82): which archive keeps what the Jobs found, and how long a run has stood still."""

from __future__ import annotations

from datetime import datetime

from cascade_operator.control.domain.policies.archiving import ArchiveKind


def suspension_archive(
    suspended: datetime,
    *,
    prepared: bool,
    jobs_at_work: bool,
    all_terminal: bool,
    last_start: datetime | None,
) -> ArchiveKind | None:
    """The archive that a suspension still owes, if any.

    It waits until the run's other Jobs have saved and left, so that it holds their last
    checkpoints: a lost Redis, or a long rest, then costs one prepare that restores from it. Where
    no group is left to train, the archive is the final one and the run is over.

    Args:
        suspended: When the suspension began.
        prepared: Whether there is anything to archive.
        jobs_at_work: Whether a Job that prepares or trains has not ended yet.
        all_terminal: Whether no group needs a further Job.
        last_start: When the last archive attempt started.
    """
    if not prepared or jobs_at_work:
        return None
    if all_terminal:
        return ArchiveKind.FINAL
    archived = last_start is not None and last_start >= suspended
    return None if archived else ArchiveKind.PROGRESSIVE


def paused_seconds(earlier: int, suspended: datetime | None, now: datetime) -> float:
    """Seconds of a run that do not count as duration.

    Args:
        earlier: Seconds of the suspensions that are over.
        suspended: When the present one began; None where there is none.
        now: The time.
    """
    present = 0.0 if suspended is None else max(0.0, (now - suspended).total_seconds())
    return earlier + present
