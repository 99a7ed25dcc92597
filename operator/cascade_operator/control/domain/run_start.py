"""When a run starts, and what its first status is (82)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from cascade_operator.api.groups import NodeGroup, select_groups
from cascade_operator.api.quantity import format_quantity
from cascade_operator.api.spec_hash import spec_hash
from cascade_operator.api.status import (
    GroupStatus,
    HistoryEntry,
    Phase,
    ProgressStatus,
    RunStatus,
    StageStatus,
    TrainingSessionStatus,
)
from cascade_operator.control.domain.draft import Draft, Situation
from cascade_operator.control.domain.limits import bytes_of, declared_limit, most_per_job
from cascade_operator.control.domain.model import SessionView
from cascade_operator.control.domain.policies.memory import first_limit
from cascade_operator.control.manifests.labels import (
    RETRAIN_ANNOTATION,
    STAGE_ARCHIVE,
    STAGE_GROUP,
    STAGE_PREPARE,
    run_of,
)
from cascade_operator.control.manifests.naming import run_of_config_map

SESSION_ID_FORMAT: Final = "%Y%m%dT%H%M%SZ"
REPLACED: Final = "Replaced"
"""Why a run stands in history that another one replaced."""
_REQUEST_MOST: Final = 253
_RUNS_MOST: Final = 2**31 - 1
"""What status can count."""


class Trigger(StrEnum):
    """Why a run starts."""

    SPEC_CHANGED = "SpecChanged"
    RETRAIN = "Retrain"
    SCHEDULE = "Schedule"


def trigger(session: SessionView, *, due: bool = False) -> Trigger | None:
    """Says why a run is to start now, if it is.

    A changed spec and a new value of the retrain annotation both replace a run that is under way:
    whoever asks wants what is there now trained, not what was there before. While the session is
    suspended nothing starts; what has changed meanwhile counts once it is resumed.

    Args:
        session: The session.
        due: Whether its schedule has fired.
    """
    run, spec = session.status.run, session.spec
    if spec is None or spec.suspend:
        return None
    if run is None or run.spec_hash != spec_hash(spec):
        return Trigger.SPEC_CHANGED
    request = retrain_request(session.annotations)
    if request and request != session.status.last_retrain_request:
        return Trigger.RETRAIN
    return Trigger.SCHEDULE if due else None


def selection_problem(situation: Situation) -> str:
    """Says why no group can be selected; empty where one can.

    Validation refuses such a spec first. The planner is total, so it looks too.
    """
    try:
        groups = select_groups(situation.spec.cascade, situation.spec.groups)
    except KeyError as error:
        return f"spec.groups names the unknown node {error}"
    return "" if groups else "spec.groups selects no group"


def retrain_request(annotations: Mapping[str, str]) -> str:
    """The retrain annotation's value, as status can hold it."""
    return annotations.get(RETRAIN_ANNOTATION, "")[:_REQUEST_MOST]


def start_run(draft: Draft, situation: Situation, why: Trigger) -> Draft:
    """Puts a new run in the place of the last one, whose archives and figures go to history."""
    session = situation.observed.session
    before = draft.status
    number = next_run_number(before, newest_run(situation))
    groups = group_statuses(situation, before.groups)
    draft = draft.put(
        phase=Phase.PREPARING,
        run=RunStatus(
            number=number,
            session_id=next_session_id(before.run, situation.now),
            spec_hash=spec_hash(session.spec) if session.spec is not None else "",
            trigger=str(why),
            start_time=situation.now,
            prepare=_stage(situation, STAGE_PREPARE),
            archive=_stage(situation, STAGE_ARCHIVE),
        ),
        groups=groups,
        groups_total=len(groups),
        groups_succeeded=0,
        groups_failed=0,
        progress=ProgressStatus(),
        best=None,
        attribution=[],
        archives=[],
        history=_history_with_replaced(before, situation),
        last_retrain_request=retrain_request(session.annotations) or before.last_retrain_request,
    )
    return draft.note("RunStarted", f"run {number} of {len(groups)} groups: {why}")


def next_run_number(before: TrainingSessionStatus, newest: int) -> int:
    """The number after all that are known.

    Args:
        before: The status so far; one that was lost knows none.
        newest: The highest that any child bears.
    """
    last = 0 if before.run is None else before.run.number
    number = max(last, newest) + 1
    if number <= _RUNS_MOST:
        return number
    # No run comes so far; somebody wrote it there.
    return max((entry.number for entry in before.history if entry.number < last), default=0) + 1


def newest_run(situation: Situation) -> int:
    """The highest run that any Job or ConfigMap of the session is of; 0 where there is none."""
    observed = situation.observed
    runs = {run_of(job.labels) for job in observed.jobs.values()}
    runs |= {run_of_config_map(name) for name in observed.config_maps}
    return max((run for run in runs if run is not None), default=0)


def next_session_id(last: RunStatus | None, now: datetime) -> str:
    """The id of a run that starts now, at least a second after the last run's."""
    chosen = now.astimezone(UTC)
    if last is not None:
        try:
            earlier = datetime.strptime(last.session_id, SESSION_ID_FORMAT).replace(tzinfo=UTC)
        except ValueError:
            earlier = last.start_time
        chosen = max(chosen, earlier + timedelta(seconds=1))
    return chosen.strftime(SESSION_ID_FORMAT)


def history_entry(
    status: TrainingSessionStatus, phase: Phase, reason: str, ended: datetime
) -> HistoryEntry:
    """The line that stays of a run.

    Args:
        status: The session's status, the run in it.
        phase: How the run ended.
        reason: Why it ended so, in one word.
        ended: When.

    Raises:
        ValueError: There is no run.
    """
    if status.run is None:
        raise ValueError("a session without a run has no history of it")
    return HistoryEntry(
        number=status.run.number,
        session_id=status.run.session_id,
        trigger=status.run.trigger,
        phase=phase,
        reason=reason,
        start_time=status.run.start_time,
        completion_time=ended,
        best=status.best,
    )


def _history_with_replaced(
    status: TrainingSessionStatus, situation: Situation
) -> list[HistoryEntry]:
    """A run that is replaced stays in history with the phase in which it was stopped."""
    history = status.history
    if status.run is not None and status.run.completion_time is None:
        phase = status.phase or Phase.PENDING
        entry = history_entry(status, phase, REPLACED, situation.now)
        history = [entry, *history]
    return history[: situation.spec.run_history_limit]


def _stage(situation: Situation, stage: str) -> StageStatus:
    return StageStatus(memory_limit=format_quantity(declared_limit(situation.spec, stage)))


def group_statuses(situation: Situation, last: list[GroupStatus]) -> list[GroupStatus]:
    """The groups that the spec selects, none begun.

    Args:
        situation: The spec.
        last: Groups of a run before, whose peaks the first limits follow.
    """
    spec = situation.spec
    peaks = {tuple(g.nodes): peak for g in last if (peak := bytes_of(g.peak_memory))}
    return [
        GroupStatus(
            name=group.key,
            nodes=list(group.nodes),
            memory_limit=_group_limit(situation, group, peaks),
        )
        for group in select_groups(spec.cascade, spec.groups)
    ]


def _group_limit(
    situation: Situation, group: NodeGroup, peaks: Mapping[tuple[str, ...], int]
) -> str:
    return format_quantity(
        first_limit(
            declared_limit(situation.spec, STAGE_GROUP),
            last_peak=peaks.get(group.nodes),
            threshold=situation.spec.memory.threshold_percent,
            most=most_per_job(situation.spec, STAGE_GROUP),
        )
    )
