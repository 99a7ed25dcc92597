"""Which attempts start next (81): prepare, a due archive, then groups as lattice and room allow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from cascade_operator.api.quantity import parse_duration
from cascade_operator.api.status import GroupPhase
from cascade_operator.control.domain.draft import Draft, Part, Situation, is_terminal
from cascade_operator.control.domain.limits import memory_budget, memory_of
from cascade_operator.control.domain.policies.admission import Request, admit
from cascade_operator.control.domain.policies.archiving import (
    ArchiveClock,
    ArchiveKind,
    GroupSummary,
    anything_to_archive,
    due_archive,
)
from cascade_operator.control.domain.policies.lattice import Standing, may_start, parents
from cascade_operator.control.domain.suspension import owed_archive
from cascade_operator.control.manifests.labels import STAGE_ARCHIVE, STAGE_GROUP, STAGE_PREPARE
from cascade_operator.control.manifests.naming import job_name

_PREPARE, _ARCHIVE = "prepare", "archive"


def start_attempts(draft: Draft, situation: Situation) -> Draft:
    """Puts the attempts that may start now into status; their Jobs follow in a later plan."""
    due = archive_kind(draft, situation)
    requests = tuple(_requests(draft, situation, due))
    answer = admit(
        requests,
        _running(draft, situation),
        parallelism=situation.spec.parallelism,
        budget=memory_budget(situation.spec),
    )
    standings = group_standings(draft)
    for name in answer.admitted:
        if name == _PREPARE:
            started = _started(draft.prepare, name, draft.prepare.attempt + 1, situation, draft)
            draft = draft.put_prepare(**started)
        elif name == _ARCHIVE and due is not None:
            number = draft.archive.attempt + 1
            started = _started(draft.archive, f"archive-{number}", 1, situation, draft)
            draft = draft.put_archive(kind=str(due), **{**started, "attempt": number})
        else:
            draft = _start_group(draft, name, standings, situation)
    return replace(draft, short_of_memory=answer.short_of_memory)


def archive_kind(draft: Draft, situation: Situation) -> ArchiveKind | None:
    """The archive that is due and may start as far as its own retries are concerned."""
    archive, run = draft.archive, draft.run
    if archive.phase in (GroupPhase.RUNNING, GroupPhase.FAILED):
        return None
    summaries = group_summaries(draft)
    if run.suspend_time is not None:
        due = owed_archive(draft, situation)
    else:
        due = due_archive(summaries, archive_clock(draft, situation), situation.now)
    if due is ArchiveKind.FINAL:
        # One that holds no group would keep nothing; the run ends without it.
        done = archive.phase is GroupPhase.SUCCEEDED and archive.kind == ArchiveKind.FINAL
        if done or run.completion_time or not anything_to_archive(summaries):
            return None
        # A pause after a progressive archive was given up does not hold the final one.
        waits = archive.failures > 0 and not _is_time(archive.retry_time, situation.now)
    else:
        waits = not _is_time(archive.retry_time, situation.now)
    return None if waits else due


def archive_clock(draft: Draft, situation: Situation) -> ArchiveClock:
    """What the archiving policy needs of the run."""
    return ArchiveClock(
        start=draft.run.start_time,
        last=draft.run.last_archive_time,
        interval=parse_duration(situation.spec.archive.interval),
        archived=frozenset(draft.run.archived_groups),
    )


def group_summaries(draft: Draft) -> list[GroupSummary]:
    """What the archiving policy needs of the groups."""
    return [
        GroupSummary(
            key=group.name,
            size=len(group.nodes),
            terminal=is_terminal(group),
            succeeded=group.phase is GroupPhase.SUCCEEDED,
        )
        for group in draft.groups
    ]


def group_standings(draft: Draft) -> dict[str, Standing]:
    """What the lattice policy needs of the groups."""
    by_phase = {GroupPhase.SUCCEEDED: Standing.SUCCEEDED, GroupPhase.FAILED: Standing.FAILED}
    return {group.name: by_phase.get(group.phase, Standing.OPEN) for group in draft.groups}


def _requests(draft: Draft, situation: Situation, due: ArchiveKind | None) -> Iterator[Request]:
    """The Jobs that want to start, the most important first."""
    prepare, suspended = draft.prepare, draft.run.suspend_time is not None
    if prepare.phase is not GroupPhase.SUCCEEDED:
        if not suspended and _may_try(prepare, situation.now):
            memory = memory_of(prepare, STAGE_PREPARE, situation)
            yield Request(_PREPARE, memory, urgent=True)
        return
    if due is not None:
        yield Request(_ARCHIVE, memory_of(draft.archive, STAGE_ARCHIVE, situation), urgent=True)
    if suspended:
        return
    standings = group_standings(draft)
    lattice = situation.spec.optimizer.lattice
    for group in draft.groups:
        if _may_try(group, situation.now) and may_start(group.name, standings, lattice=lattice):
            yield Request(group.name, memory_of(group, STAGE_GROUP, situation))


def _running(draft: Draft, situation: Situation) -> dict[str, int]:
    """Limits of the Jobs that count: those of status, and those of the cluster, of any run.

    A Job of a replaced run, or one that is being deleted, holds its memory until it has ended.
    """
    stages: list[tuple[Part, str]] = [
        (draft.prepare, STAGE_PREPARE),
        (draft.archive, STAGE_ARCHIVE),
        *((group, STAGE_GROUP) for group in draft.groups),
    ]
    # Attempts of a suspended run keep their phase without a Job; an archive needs the room.
    suspended = draft.run.suspend_time is not None
    held = {
        part.job_name: memory_of(part, stage, situation)
        for part, stage in stages
        if part.phase is GroupPhase.RUNNING and not (suspended and stage != STAGE_ARCHIVE)
    }
    for name, job in situation.observed.jobs.items():
        if not job.state.ended:
            held[name] = max(job.memory_limit, held.get(name, 0))
    return held


def _start_group(
    draft: Draft, name: str, standings: Mapping[str, Standing], situation: Situation
) -> Draft:
    group = next(g for g in draft.groups if g.name == name)
    slug = name.replace("_", "-")
    started = _started(group, slug, group.attempt + 1, situation, draft)
    lattice = situation.spec.optimizer.lattice
    started["lattice_parents"] = list(parents(name, standings, lattice=lattice))
    return draft.put_group(name, **started)


def _started(
    part: Part, slug: str, attempt: int, situation: Situation, draft: Draft
) -> dict[str, Any]:
    session = situation.observed.session.name
    return {
        "phase": GroupPhase.RUNNING,
        "attempt": attempt,
        "job_name": job_name(session, draft.run.number, slug, attempt),
        "start_time": situation.now,
        "retry_time": None,
        "reason": "",
        # Why an earlier attempt ended stays readable until this one has.
        "message": part.message,
    }


def _may_try(part: Part, now: datetime) -> bool:
    return part.phase is GroupPhase.PENDING and _is_time(part.retry_time, now)


def _is_time(retry: datetime | None, now: datetime) -> bool:
    return retry is None or now >= retry
