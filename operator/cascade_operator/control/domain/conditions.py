"""Phase and conditions, by the table of the status contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from cascade_operator.api.status import (
    Condition,
    ConditionType,
    GroupPhase,
    Phase,
    StageStatus,
)
from cascade_operator.control.domain.blockage import (
    QUEUED,
    Blockage,
    awaits_answer,
    blockage,
    is_queued,
)
from cascade_operator.control.domain.completion import (
    Ending,
    ending_of,
    standing_ending,
)
from cascade_operator.control.domain.draft import Draft, Situation, bounded
from cascade_operator.control.domain.limits import bytes_of, declared_limit
from cascade_operator.control.domain.policies.diagnosis import REFUSALS
from cascade_operator.control.domain.setbacks import MEMORY_LIMIT_REACHED
from cascade_operator.control.domain.suspension import suspension_message
from cascade_operator.control.manifests.labels import STAGE_GROUP

_MESSAGE_MOST: Final = 4096
_Truth = Literal["True", "False"]

RETRYING: Final = "Retrying"
INVALID_SPEC: Final = "InvalidSpec"
SUSPENDED: Final = "Suspended"
NOT_SUSPENDED: Final = "NotSuspended"
WITHIN_LIMITS: Final = "WithinLimits"
NO_RUN_STARTS: Final = "no run starts until spec.suspend is false"


@dataclass(frozen=True, slots=True)
class Health:
    """One row of the table.

    Attributes:
        reason: Why.
        message: Why, for a reader.
        ready: Whether a GitOps tool may go on.
        reconciling: Whether it should wait.
        stalled: Whether only a person can help.
    """

    reason: str
    message: str
    ready: bool = False
    reconciling: bool = False
    stalled: bool = False


def phase_of(draft: Draft, situation: Situation) -> Phase:
    """Where a session with a run is."""
    ending = _ending(draft, situation)
    if ending is not None:
        return Phase.COMPLETE if ending.complete else Phase.FAILED
    return Phase.SUSPENDED if draft.run.suspend_time is not None else _phase_under_way(draft)


def _ending(draft: Draft, situation: Situation) -> Ending | None:
    if draft.run.completion_time is None:
        return None
    return standing_ending(draft) or ending_of(draft, situation.spec.max_failed_groups)


def _phase_under_way(draft: Draft) -> Phase:
    if draft.prepare.phase is not GroupPhase.SUCCEEDED:
        return Phase.PREPARING
    return Phase.ARCHIVING if draft.all_terminal else Phase.TRAINING


def run_conditions(draft: Draft, situation: Situation) -> list[Condition]:
    """The conditions of a session with a run."""
    ending = _ending(draft, situation)
    health = _ended_health(ending) if ending else _running_health(draft, situation)
    complete = ending is not None and ending.complete
    failed = ending is not None and not ending.complete
    memory = _memory_limited(draft, situation)
    return _conditions(
        draft.status.conditions,
        situation.observed.session.generation,
        situation.now,
        health,
        complete=(complete, health.reason, health.message if complete else ""),
        failed=(failed, health.reason, health.message if failed else ""),
        memory=memory,
        suspended=(situation.spec.suspend, health.message if ending is None else NO_RUN_STARTS),
    )


def waiting_conditions(draft: Draft, situation: Situation) -> list[Condition]:
    """The conditions of a session that has been suspended since before its first run."""
    health = Health(SUSPENDED, NO_RUN_STARTS, ready=True)
    return _conditions(
        draft.status.conditions,
        situation.observed.session.generation,
        situation.now,
        health,
        complete=(False, SUSPENDED, ""),
        failed=(False, SUSPENDED, ""),
        memory=(False, WITHIN_LIMITS, ""),
        suspended=(True, NO_RUN_STARTS),
    )


def invalid_conditions(draft: Draft, generation: int, now: datetime, text: str) -> list[Condition]:
    """The conditions of a session whose spec cannot be used."""
    health = Health(INVALID_SPEC, text, stalled=True)
    standing = {c.type: c for c in draft.status.conditions}
    return _conditions(
        draft.status.conditions,
        generation,
        now,
        health,
        complete=_standing(standing.get(ConditionType.COMPLETE)),
        failed=_standing(standing.get(ConditionType.FAILED)),
        memory=_standing(standing.get(ConditionType.MEMORY_LIMITED)),
        suspended=_standing(standing.get(ConditionType.SUSPENDED))[::2],
    )


def _standing(condition: Condition | None) -> tuple[bool, str, str]:
    if condition is None:
        return False, INVALID_SPEC, ""
    return condition.status == "True", condition.reason, condition.message


def _running_health(draft: Draft, situation: Situation) -> Health:
    if draft.run.suspend_time is not None:
        return Health(SUSPENDED, suspension_message(draft, situation), ready=True)
    if (stands_still := _standstill(draft, situation)) is not None:
        return stands_still
    for stage, what in ((draft.prepare, "prepare"), (draft.archive, "archive")):
        if _retry_ahead(stage):
            return Health(RETRYING, f"{what}: {stage.message}", reconciling=True)
    phase = _phase_under_way(draft)
    number = draft.run.number
    if phase is Phase.PREPARING:
        return Health(str(phase), f"run {number} prepares traces and candidates", reconciling=True)
    done = sum(g.phase is GroupPhase.SUCCEEDED for g in draft.groups)
    failed = sum(g.phase is GroupPhase.FAILED for g in draft.groups)
    text = f"run {number}: {done} of {len(draft.groups)} groups trained"
    return Health(str(phase), f"{text}, {failed} failed" if failed else text, ready=True)


def _standstill(draft: Draft, situation: Situation) -> Health | None:
    """Of a run none of whose Jobs can start."""
    if stuck := blockage(draft, situation):
        return _blocked_health(stuck, draft, situation)
    if (refused := _standing_refusal(draft)) and awaits_answer(draft, situation):
        return refused
    if is_queued(draft, situation):
        return Health(QUEUED, f"run {draft.run.number}: its Jobs wait in a queue", ready=True)
    return None


def _blocked_health(stuck: Blockage, draft: Draft, situation: Situation) -> Health:
    reason = str(stuck.diagnosis.reason)
    # What was found of the spec before is no verdict on a changed one.
    same_spec = draft.status.observed_generation == situation.observed.session.generation
    standing = any(
        c.type is ConditionType.STALLED and c.status == "True" and c.reason == reason
        for c in draft.status.conditions
    )
    overdue = same_spec and (standing or situation.now >= stuck.deadline)
    # One or the other: kstatus takes whichever stands first, so that a session which is both
    # would be in progress for ever.
    return Health(reason, stuck.message, reconciling=not overdue, stalled=overdue)


def _standing_refusal(draft: Draft) -> Health | None:
    standing = {c.type: c for c in draft.status.conditions}
    ready = standing.get(ConditionType.READY)
    if ready is None or ready.reason not in REFUSALS:
        return None
    stalled = ConditionType.STALLED in standing
    return Health(ready.reason, ready.message, reconciling=not stalled, stalled=stalled)


def _retry_ahead(stage: StageStatus) -> bool:
    return stage.phase is GroupPhase.PENDING and stage.attempt > 0 and bool(stage.reason)


def _ended_health(ending: Ending) -> Health:
    return Health(
        str(ending.reason), ending.message, ready=ending.complete, stalled=not ending.complete
    )


def _memory_limited(draft: Draft, situation: Situation) -> tuple[bool, str, str]:
    """Whether memory holds the run back: the most per Job, the budget, or a raised limit."""
    if draft.run.completion_time is None and draft.short_of_memory:
        names = ", ".join(draft.short_of_memory)
        return True, "WaitingForBudget", f"memory.budget leaves no room yet for {names}"
    capped = [g.name for g in draft.groups if g.reason == MEMORY_LIMIT_REACHED]
    if capped:
        return True, MEMORY_LIMIT_REACHED, f"failed at the most a Job may have: {', '.join(capped)}"
    declared = declared_limit(situation.spec, STAGE_GROUP)
    raised = [
        f"{g.name} {g.memory_limit}"
        for g in draft.groups
        if g.attempt > 0 and bytes_of(g.memory_limit) > declared
    ]
    if raised:
        return True, "LimitRaised", f"with more than the declared limit: {', '.join(raised)}"
    return False, WITHIN_LIMITS, ""


def _conditions(
    before: Sequence[Condition],
    generation: int,
    now: datetime,
    health: Health,
    *,
    complete: tuple[bool, str, str],
    failed: tuple[bool, str, str],
    memory: tuple[bool, str, str],
    suspended: tuple[bool, str],
) -> list[Condition]:
    """Builds the list in a fixed order; a transition time changes only with its status."""
    here = (health.reason, health.message)
    wanted = [
        (ConditionType.READY, health.ready, *here),
        *([(ConditionType.RECONCILING, True, *here)] if health.reconciling else []),
        *([(ConditionType.STALLED, True, *here)] if health.stalled else []),
        (ConditionType.COMPLETE, *complete),
        (ConditionType.FAILED, *failed),
        (
            ConditionType.SUSPENDED,
            suspended[0],
            SUSPENDED if suspended[0] else NOT_SUSPENDED,
            suspended[1] if suspended[0] else "",
        ),
        (ConditionType.MEMORY_LIMITED, *memory),
    ]
    last = {condition.type: condition for condition in before}
    built = []
    for kind, holds, reason, message in wanted:
        truth: _Truth = "True" if holds else "False"
        earlier = last.get(kind)
        same = earlier is not None and earlier.status == truth
        built.append(
            Condition(
                type=kind,
                status=truth,
                reason=reason,
                message=bounded(message, _MESSAGE_MOST),
                last_transition_time=earlier.last_transition_time if earlier and same else now,
                observed_generation=generation,
            )
        )
    return built
