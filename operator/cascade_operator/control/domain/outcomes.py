"""Reading ended Jobs into status: prepare, groups, archives."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any, Final

from cascade_operator.api.quantity import format_quantity, parse_duration
from cascade_operator.api.records import ArchiveResult, GroupResult, PrepareResult
from cascade_operator.api.status import GroupPhase, GroupStatus
from cascade_operator.control.domain.draft import Draft, Part, Situation, bounded
from cascade_operator.control.domain.figures import (
    FIGURES_PENDING,
    fill_pending,
    group_figures,
)
from cascade_operator.control.domain.model import JobState, JobView
from cascade_operator.control.domain.policies.archiving import ArchiveKind
from cascade_operator.control.domain.policies.retry import OOM_KILLED
from cascade_operator.control.domain.setbacks import Setback, setback
from cascade_operator.control.manifests.labels import STAGE_ARCHIVE, STAGE_GROUP, STAGE_PREPARE

RUN_DATA_GONE: Final = "RunDataGone"
"""Why a part that had succeeded is open again: what it left in Redis was lost."""


def read_outcomes(draft: Draft, situation: Situation) -> Draft:
    """Reads the Jobs that have ended since the last plan, in an order that is not theirs."""
    draft = _read_prepare(draft, situation)
    for group in draft.groups:
        draft = _read_group(draft, group, situation)
    return _read_archive(draft, situation)


def _ended(part: Part, situation: Situation) -> JobView | None:
    """The Job of a part's attempt, if it runs according to status and has ended in the cluster."""
    if part.phase is not GroupPhase.RUNNING:
        return None
    job = situation.observed.jobs.get(part.job_name)
    return job if job is not None and job.state.ended else None


def _read_prepare(draft: Draft, situation: Situation) -> Draft:
    job = _ended(draft.prepare, situation)
    if job is None:
        return draft
    if job.state is JobState.FAILED:
        back = setback(draft.prepare, job, STAGE_PREPARE, situation)
        draft = draft.put_prepare(**back.changes)
        return _tell(draft, "Prepare", "prepare", back)
    restored: Collection[str] = draft.run.archived_groups
    succeeded = {"phase": GroupPhase.SUCCEEDED, "failures": 0, "reason": "", "message": ""}
    if isinstance(job.message, PrepareResult):
        result = job.message
        restored = result.restored_groups
        draft = draft.put_run(
            warm_started_from=result.warm_started_from,
            records=result.records,
            rejected=result.rejected,
        )
        succeeded |= _peak(result.peak_memory)
    draft = draft.put_prepare(**succeeded)
    draft = draft.note("Prepared", f"run {draft.run.number}: traces and candidates are ready")
    return _reopen_lost_groups(draft, restored)


def _reopen_lost_groups(draft: Draft, restored: Collection[str]) -> Draft:
    """Trains again what had finished when the run's data was restored, and stood in no archive.

    A worker that still finds its checkpoint whole ends at once with the same result.
    """
    for group in draft.groups:
        if group.phase is GroupPhase.SUCCEEDED and group.name not in restored:
            text = "had finished when the run's data was restored, and stands in no archive"
            draft = draft.put_group(
                group.name, phase=GroupPhase.PENDING, reason=RUN_DATA_GONE, message=text
            ).warn("GroupLost", f"group {group.name} {text}")
    return draft


def _read_group(draft: Draft, group: GroupStatus, situation: Situation) -> Draft:
    job = _ended(group, situation)
    if job is None:
        return draft
    name = group.name
    if job.state is JobState.FAILED:
        back = setback(group, job, STAGE_GROUP, situation)
        draft = draft.put_group(name, **back.changes)
        draft = _tell(draft, "Group", f"group {name}", back)
        return _prepare_again(draft, group) if back.data_gone else draft
    changes: dict[str, Any] = {"reason": FIGURES_PENDING, "message": ""}
    if isinstance(job.message, GroupResult) and job.message.group == name:
        changes = group_figures(job.message)
    draft = draft.put_group(name, phase=GroupPhase.SUCCEEDED, **changes)
    return draft.note("GroupSucceeded", f"group {name}: {changes['reason']}")


def _read_archive(draft: Draft, situation: Situation) -> Draft:
    archive = draft.archive
    job = _ended(archive, situation)
    if job is None:
        return draft
    if job.state is JobState.SUCCEEDED:
        return _archived(draft, job, situation)
    back = setback(archive, job, STAGE_ARCHIVE, situation)
    changes = dict(back.changes)
    if back.final and archive.kind == ArchiveKind.PROGRESSIVE:
        # Training goes on: the next interval, or the final archive, tries afresh.
        pause = timedelta(seconds=parse_duration(situation.spec.archive.interval))
        changes |= {
            "phase": GroupPhase.PENDING,
            "failures": 0,
            "retry_time": situation.now + pause,
        }
    draft = draft.put_archive(**changes)
    draft = _tell(draft, "Archive", f"{archive.kind} archive", back)
    return _prepare_again(draft, archive) if back.data_gone else draft


def _archived(draft: Draft, job: JobView, situation: Situation) -> Draft:
    result = job.message
    done: dict[str, Any] = {
        "phase": GroupPhase.SUCCEEDED,
        "failures": 0,
        "retry_time": None,
        "reason": "",
        "message": "",
    }
    groups = _groups_archived(draft, job, situation)
    if isinstance(result, ArchiveResult):
        done |= _peak(result.peak_memory)
        draft = fill_pending(draft, result.figures)
        draft = draft.put(
            archives=result.archives or draft.status.archives,
            attribution=result.attribution or draft.status.attribution,
            # Kept only where the group's own figures are missing: see best_of.
            best=result.best or draft.status.best,
        )
        if result.program is not None:
            draft = draft.put_run(program=result.program)
    draft = draft.put_archive(**done).put_run(
        last_archive_time=(job.finished or situation.now).replace(microsecond=0),
        archived_groups=[g.name for g in draft.groups if g.name in groups],
    )
    kind = draft.archive.kind
    return draft.note("Archived", f"run {draft.run.number}: {kind} archive of {len(groups)} groups")


def _groups_archived(draft: Draft, job: JobView, situation: Situation) -> set[str]:
    """Which groups the archives hold now.

    Without the Job's word: those whose own Job had ended when the archive's started, since only
    groups that stood in status as succeeded were given to it.
    """
    before = set(draft.run.archived_groups)
    if isinstance(job.message, ArchiveResult):
        return before | set(job.message.groups)
    succeeded = {g.name: g.job_name for g in draft.groups if g.phase is GroupPhase.SUCCEEDED}
    if draft.archive.kind == ArchiveKind.FINAL:
        return before | set(succeeded)
    jobs, started = situation.observed.jobs, job.started or situation.now
    ends = {name: jobs[job].finished for name, job in succeeded.items() if job in jobs}
    return before | {name for name, end in ends.items() if end is not None and end <= started}


def _prepare_again(draft: Draft, part: Part) -> Draft:
    """Has the run's data restored, unless that has happened since the part's attempt started.

    No attempt starts while prepare is open, so one that started before prepare's last attempt did
    was working on data that has been restored since: it needs another try, not another prepare.
    """
    prepare = draft.prepare
    if prepare.phase is not GroupPhase.SUCCEEDED:
        return draft
    if part.start_time and prepare.start_time and part.start_time < prepare.start_time:
        return draft
    text = "the run's data is gone from Redis; prepare restores it from the last archive"
    return draft.put_prepare(
        phase=GroupPhase.PENDING, retry_time=None, reason=RUN_DATA_GONE, message=text
    ).warn(RUN_DATA_GONE, text)


def _tell(draft: Draft, prefix: str, what: str, back: Setback) -> Draft:
    if back.oom_killed:
        # Of its own, since the next attempt may start in this step and clears the reason.
        draft = draft.warn(OOM_KILLED, f"{what}: the kernel killed it for memory")
    if back.final:
        return draft.warn(f"{prefix}Failed", bounded(f"{what} failed for good: {back.summary}"))
    if back.more_memory:
        return draft.warn("MemoryRaised", f"{what} {back.summary}")
    return draft.warn(f"{prefix}Retrying", f"{what} is tried again: {back.summary}")


def _peak(peak: int) -> dict[str, Any]:
    return {"peak_memory": format_quantity(peak)} if peak else {}
