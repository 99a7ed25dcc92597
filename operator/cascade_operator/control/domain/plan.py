"""The planner (80): what to do next for one session, from what was observed and the time.

Pure, total and deterministic. It is asked again after each change, so it never needs to know what
changed: a step reads the Jobs that have ended into status, starts what may start, and says which
children the *observed* status asks for. So a start is written first and its Job follows once that
write is observed, and a Job is deleted only after its outcome stands in status.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from cascade_operator.api.problem import Problem
from cascade_operator.api.resolve import resolve
from cascade_operator.api.status import GroupPhase, Phase
from cascade_operator.control.domain.best import best_of
from cascade_operator.control.domain.blockage import next_finding
from cascade_operator.control.domain.calls import with_calls
from cascade_operator.control.domain.children import children
from cascade_operator.control.domain.completion import finish_run
from cascade_operator.control.domain.conditions import (
    INVALID_SPEC,
    invalid_conditions,
    phase_of,
    run_conditions,
    waiting_conditions,
)
from cascade_operator.control.domain.draft import Draft, Situation
from cascade_operator.control.domain.evidence import corrected
from cascade_operator.control.domain.holding import hold_or_release
from cascade_operator.control.domain.leftovers import next_expiry
from cascade_operator.control.domain.model import Observed, Plan
from cascade_operator.control.domain.outcomes import read_outcomes
from cascade_operator.control.domain.pace import paced
from cascade_operator.control.domain.progress import progress_of, spent_of
from cascade_operator.control.domain.publication import look_at_publication, next_publication
from cascade_operator.control.domain.run_start import selection_problem, start_run, trigger
from cascade_operator.control.domain.scheduling import look_at_schedule
from cascade_operator.control.domain.starts import archive_clock, start_attempts
from cascade_operator.control.domain.suspension import suspend_or_resume
from cascade_operator.control.domain.waits import tell_blockage, with_waits

_PROBLEMS_SHOWN: Final = 10

STATUS_CORRECTED: Final = "StatusCorrected"
_CORRECTED: Final = (
    "somebody else wrote this session's status; it says again what its Jobs do. Let nobody but the "
    "operator write trainingsessions/status"
)


def plan(observed: Observed, now: datetime) -> Plan:
    """Decides the next step.

    Args:
        observed: The session and its children.
        now: The time, with a time zone.
    """
    # Status holds whole seconds: a time with a fraction would differ from itself once written.
    now = now.astimezone(UTC).replace(microsecond=0)
    session = observed.session
    draft = Draft(session.status)
    if session.deleting:
        return _plan(draft)
    if session.spec is None or session.problems:
        return _plan(_invalid(draft, observed, now, _problems_text(session.problems)))
    situation = Situation(observed, resolve(session.spec, observed.defaults), now)
    draft, due = look_at_schedule(draft, situation)
    why = trigger(session, due=due)
    if why is not None:
        if unusable := selection_problem(situation):
            return _plan(_invalid(draft, observed, now, unusable))
        draft = start_attempts(start_run(draft, situation, why), situation)
        return _plan(_rolled_up(draft, situation))
    if draft.status.run is None:
        return _plan(_waiting(draft, situation))
    return _step_of_run(draft, situation)


def _step_of_run(draft: Draft, situation: Situation) -> Plan:
    session = situation.observed.session
    if (proven := corrected(draft, situation)) is not draft:
        # Nothing is done on the word of a status that was wrong: what is written now is observed.
        return _plan(_rolled_up(proven.warn(STATUS_CORRECTED, _CORRECTED), situation))
    if draft.run.completion_time is None:
        draft = suspend_or_resume(draft, situation)
        draft = read_outcomes(draft, situation)
        draft = hold_or_release(draft, situation)
        draft = with_waits(draft, situation)
        draft = draft.put(best=best_of(draft.groups, draft.status.best))
        draft = with_calls(draft, situation)
        draft = draft.put(progress=progress_of(draft, situation))
        draft = draft.put_run(spent=spent_of(draft, situation))
        draft = finish_run(draft, situation)
        if draft.run.completion_time is None:
            draft = start_attempts(draft, situation)
    draft = tell_blockage(_rolled_up(draft, situation), session.status)
    draft, publish = look_at_publication(draft, situation)
    draft, held_back = paced(draft, situation)
    return Plan(
        actions=(*children(situation), *(() if publish is None else (publish,))),
        status=draft.status,
        events=draft.events,
        requeue_after=_requeue_after(draft, situation, held_back),
    )


def _plan(draft: Draft) -> Plan:
    return Plan(actions=(), status=draft.status, events=draft.events, requeue_after=None)


def _problems_text(problems: Sequence[Problem]) -> str:
    shown = [f"{p} ({p.mend})" if p.mend else str(p) for p in problems[:_PROBLEMS_SHOWN]]
    return "; ".join(shown) or "the spec could not be read"


def _invalid(draft: Draft, observed: Observed, now: datetime, text: str) -> Draft:
    """Says what is wrong with a spec that cannot be used; it is not tried again.

    A run under way goes on as far as its Jobs carry it, and its status is kept for the spec that
    replaces this one.
    """
    session = observed.session
    before = draft.status.observed_generation
    conditions = invalid_conditions(draft, session.generation, now, text)
    phase = draft.status.phase
    draft = draft.put(
        observed_generation=session.generation,
        phase=Phase.PENDING if phase is None else phase,
        conditions=conditions,
    )
    return draft if before == session.generation else draft.warn(INVALID_SPEC, text)


def _waiting(draft: Draft, situation: Situation) -> Draft:
    """A session that was made suspended: it has no run, and gets one once it is resumed."""
    return draft.put(
        observed_generation=situation.observed.session.generation,
        phase=Phase.SUSPENDED,
        conditions=waiting_conditions(draft, situation),
    )


def _rolled_up(draft: Draft, situation: Situation) -> Draft:
    """Fills in what follows from the rest: phase, counters, conditions."""
    succeeded = sum(g.phase is GroupPhase.SUCCEEDED for g in draft.groups)
    return draft.put(
        observed_generation=situation.observed.session.generation,
        phase=phase_of(draft, situation),
        conditions=run_conditions(draft, situation),
        groups_total=len(draft.groups),
        groups_summary=f"{succeeded}/{len(draft.groups)}",
        groups_succeeded=succeeded,
        groups_failed=sum(g.phase is GroupPhase.FAILED for g in draft.groups),
    )


def _requeue_after(draft: Draft, situation: Situation, held_back: datetime | None) -> float | None:
    """Seconds until time alone changes the plan.

    A retry, an archive's interval, the schedule, a time to live, live figures.
    """
    waits = [(time - situation.now).total_seconds() for time in _coming(draft, situation)]
    if draft.run.completion_time is None:
        parts = (draft.archive,) if draft.run.suspend_time is not None else draft.parts
        if any(part.phase is GroupPhase.RUNNING for part in parts):
            waits.append(situation.observed.progress_seconds)
    if held_back is not None:
        waits.append((held_back - situation.now).total_seconds())
    return min((wait for wait in waits if wait > 0), default=None)


def _coming(draft: Draft, situation: Situation) -> Iterator[datetime]:
    for time in (
        draft.status.next_schedule_time,
        next_expiry(draft.status, situation),
        next_publication(draft.status, situation),
    ):
        if time is not None:
            yield time
    if draft.run.completion_time is not None:
        return
    if (found := next_finding(draft, situation)) is not None:
        yield found
    if draft.run.suspend_time is not None:
        if draft.archive.retry_time is not None:
            yield draft.archive.retry_time
        return
    for part in draft.parts:
        if part.phase is GroupPhase.PENDING and part.retry_time is not None:
            yield part.retry_time
    if draft.prepare.phase is GroupPhase.SUCCEEDED:
        yield archive_clock(draft, situation).next_time
