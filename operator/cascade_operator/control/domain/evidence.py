"""What a run's children prove, whatever its status says (82). Pure.

Status is all that the operator remembers, and who may write it may write anything: a person at
``kubectl edit``, a backup that is restored, a tool that took it for its own. The Jobs bear in their
labels what they were made for, so where the two differ in a way that no step of the planner leads
to, the Jobs are believed. Whatever else stands there is taken as it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from cascade_operator.api.groups import select_groups
from cascade_operator.api.quantity import format_quantity, parse_duration
from cascade_operator.api.spec_hash import spec_hash
from cascade_operator.api.status import GroupPhase, GroupStatus
from cascade_operator.control.domain.completion import ending_of
from cascade_operator.control.domain.draft import Draft, Part, Situation, is_terminal
from cascade_operator.control.domain.limits import bytes_of, declared_limit, most_per_job
from cascade_operator.control.domain.model import JobState, JobView
from cascade_operator.control.domain.outcomes import RUN_DATA_GONE
from cascade_operator.control.domain.policies.archiving import ArchiveKind
from cascade_operator.control.domain.policies.retry import BACKOFF_MOST_SECONDS
from cascade_operator.control.domain.run_start import group_statuses, newest_run
from cascade_operator.control.manifests.labels import (
    ARCHIVE_KIND,
    ATTEMPT,
    GROUP,
    STAGE,
    STAGE_ARCHIVE,
    STAGE_GROUP,
    STAGE_PREPARE,
    run_of,
)
from cascade_operator.control.manifests.naming import job_name

_AT_WORK: Final = (JobState.PENDING, JobState.HELD, JobState.RUNNING)
_KINDS: Final = frozenset(str(kind) for kind in ArchiveKind)


@dataclass(frozen=True, slots=True)
class _Witness:
    """The Job that counts of a part's: one at work before any other, then the last attempt's."""

    at_work: bool
    attempt: int
    job: JobView


@dataclass(frozen=True, slots=True)
class _Slot:
    """A part in its place: what is known of it, and how it is changed."""

    part: Part
    stage: str
    witness: _Witness | None
    name: Callable[[int], str]
    put: Callable[..., Draft]


def corrected(draft: Draft, situation: Situation) -> Draft:
    """Puts right what the children disprove; a status that the planner wrote stays as it is.

    A run that is over is left alone: nothing is trained again for the sake of words.

    Args:
        draft: The observed status, with a run.
        situation: The children and the spec.
    """
    draft = _still_under_way(draft, situation)
    if draft.run.completion_time is not None:
        return draft
    draft = _with_its_number(draft, situation)
    draft = _with_its_groups(draft, situation)
    witnesses = _witnesses(draft.run.number, situation)
    for key in (STAGE_PREPARE, STAGE_ARCHIVE, *(group.name for group in draft.groups)):
        slot = _slot(draft, key, witnesses.get(key), situation)
        changes = _standing(slot, draft) | _bounds(slot.part, slot.stage, situation)
        changes |= _job(slot, changes)
        if slot.stage == STAGE_ARCHIVE:
            changes |= _kind(draft, slot.witness)
        if any(getattr(slot.part, field) != value for field, value in changes.items()):
            draft = slot.put(**changes)
    return draft


def _still_under_way(draft: Draft, situation: Situation) -> Draft:
    """A run that has an end without having come to one has none."""
    run = draft.run
    remembered = any(entry.number == run.number for entry in draft.status.history)
    if run.completion_time is None or remembered:
        return draft
    if ending_of(draft, situation.spec.max_failed_groups) is not None:
        return draft
    return draft.put_run(completion_time=None)


def _with_its_number(draft: Draft, situation: Situation) -> Draft:
    """The run is that of its parts' Jobs, and no earlier one than any child is of."""
    jobs = situation.observed.jobs
    own = {run_of(jobs[p.job_name].labels) for p in draft.parts if p.job_name in jobs} - {None}
    number = draft.run.number
    if own and number not in own:
        number = max(run for run in own if run is not None)
    number = max(number, newest_run(situation))
    return draft if number == draft.run.number else draft.put_run(number=number)


def _with_its_groups(draft: Draft, situation: Situation) -> Draft:
    """The groups are those that the run's spec selects, each with its own nodes, in their order."""
    spec = situation.observed.session.spec
    # Another spec would have replaced the run by now, but while the session is suspended.
    if spec is None or (spec.suspend and spec_hash(spec) != draft.run.spec_hash):
        return draft
    try:
        selected = select_groups(situation.spec.cascade, situation.spec.groups)
    except KeyError:
        return draft
    if [(g.key, list(g.nodes)) for g in selected] == [(g.name, g.nodes) for g in draft.groups]:
        return draft
    held = {group.name: group for group in draft.groups}
    return draft.put(
        groups=[
            held.get(fresh.name, fresh).model_copy(update={"nodes": fresh.nodes})
            for fresh in group_statuses(situation, draft.groups)
        ]
    )


def _slot(draft: Draft, key: str, witness: _Witness | None, situation: Situation) -> _Slot:
    session, run = situation.observed.session.name, draft.run.number
    if key == STAGE_PREPARE:
        name = _namer(session, run, key)
        return _Slot(draft.prepare, STAGE_PREPARE, witness, name, draft.put_prepare)
    if key == STAGE_ARCHIVE:

        def archive(attempt: int) -> str:
            return job_name(session, run, f"{STAGE_ARCHIVE}-{attempt}")

        return _Slot(draft.archive, STAGE_ARCHIVE, witness, archive, draft.put_archive)
    group = next(one for one in draft.groups if one.name == key)

    def put(**changes: Any) -> Draft:
        return draft.put_group(key, **changes)

    return _Slot(group, STAGE_GROUP, witness, _namer(session, run, key.replace("_", "-")), put)


def _namer(session: str, run: int, slug: str) -> Callable[[int], str]:
    return lambda attempt: job_name(session, run, slug, attempt)


def _witnesses(run: int, situation: Situation) -> dict[str, _Witness]:
    """The Job that counts of each part, by stage or group; one that is being deleted is none."""
    found: dict[str, _Witness] = {}
    for job in situation.observed.jobs.values():
        attempt = job.labels.get(ATTEMPT, "")
        if run_of(job.labels) != run or job.state is JobState.DELETING:
            continue
        if attempt.isascii() and attempt.isdecimal():
            key = job.labels.get(GROUP) or job.labels.get(STAGE, "")
            seen = _Witness(job.state in _AT_WORK, int(attempt), job)
            held = found.get(key)
            if held is None or (seen.at_work, seen.attempt) > (held.at_work, held.attempt):
                found[key] = seen
    return found


def _standing(slot: _Slot, draft: Draft) -> dict[str, Any]:
    """Phase and attempt, where the Job that counts says something else."""
    part, witness = slot.part, slot.witness
    if witness is None or (witness.attempt < part.attempt and not witness.at_work):
        # What never had a Job has not ended.
        return {"phase": GroupPhase.PENDING} if _ended_unborn(part) else {}
    running = {"phase": GroupPhase.RUNNING, "attempt": witness.attempt, "retry_time": None}
    if slot.stage == STAGE_PREPARE and _has_prepared(witness.job, draft):
        # Read once more, it would open again what was trained since.
        running["phase"] = GroupPhase.SUCCEEDED
    # A pod that succeeded may be gone before its Job says so, which then seems to wait for one.
    waits = witness.job.state is JobState.PENDING and is_terminal(part)
    if (witness.at_work and not waits) or witness.attempt > part.attempt:
        same = part.phase is GroupPhase.RUNNING and part.attempt == witness.attempt
        return {} if same else running
    return running if _denies_success(part, witness.job) else {}


def _has_prepared(job: JobView, draft: Draft) -> bool:
    return job.state is JobState.SUCCEEDED and any(group.attempt for group in draft.groups)


def _ended_unborn(part: Part) -> bool:
    return part.attempt == 0 and is_terminal(part)


def _denies_success(part: Part, job: JobView) -> bool:
    """Whether a success that the last attempt's Job had is to be read once more."""
    if job.state is not JobState.SUCCEEDED:
        return False
    if part.phase is GroupPhase.FAILED:
        return True
    # A group that succeeded is open again only where its run's data was lost.
    reopened = part.reason == RUN_DATA_GONE
    return isinstance(part, GroupStatus) and part.phase is GroupPhase.PENDING and not reopened


def _job(slot: _Slot, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The name of a running attempt's Job follows from what it is: no other is ever made."""
    if changes.get("phase", slot.part.phase) is not GroupPhase.RUNNING:
        return {}
    attempt = changes.get("attempt", slot.part.attempt)
    if slot.witness is not None and slot.witness.attempt == attempt:
        return {"job_name": slot.witness.job.name}
    return {"job_name": slot.name(attempt)}


def _kind(draft: Draft, witness: _Witness | None) -> dict[str, Any]:
    """Of an archive: a final one follows the last group, and ends the run."""
    archive = draft.archive
    if witness is not None and witness.attempt >= archive.attempt:
        told = witness.job.labels.get(ARCHIVE_KIND, archive.kind)
        return {} if told == archive.kind else {"kind": told}
    early = archive.kind == ArchiveKind.FINAL and archive.phase is GroupPhase.SUCCEEDED
    early = early and not all(is_terminal(group) for group in draft.groups)
    unknown = archive.attempt > 0 and archive.kind not in _KINDS
    return {"kind": str(ArchiveKind.PROGRESSIVE)} if early or unknown else {}


def _bounds(part: Part, stage: str, situation: Situation) -> dict[str, Any]:
    """Memory that can be read and had, and no pause longer than the planner makes."""
    changes: dict[str, Any] = {}
    limit = bytes_of(part.memory_limit)
    unreadable = part.memory_limit and not limit
    if unreadable or limit > most_per_job(situation.spec, stage):
        changes["memory_limit"] = format_quantity(declared_limit(situation.spec, stage))
    if part.peak_memory and not bytes_of(part.peak_memory):
        changes["peak_memory"] = ""
    longest = BACKOFF_MOST_SECONDS
    if stage == STAGE_ARCHIVE:
        longest = max(longest, parse_duration(situation.spec.archive.interval))
    # Twice: a node's clock may be ahead of ours.
    if part.retry_time is not None and part.retry_time > situation.now + timedelta(
        seconds=2 * longest
    ):
        changes["retry_time"] = None
    return changes
