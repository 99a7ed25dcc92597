"""One turn for one session (82): observe, plan, children, one status write, then events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Final

from cascade_operator.api.status import TrainingSessionStatus
from cascade_operator.control.domain.model import (
    Action,
    CreateConfigMap,
    CreateJob,
    DeleteConfigMap,
    DeleteJob,
    Event,
    PublishProgram,
    SessionView,
)
from cascade_operator.control.domain.plan import plan
from cascade_operator.control.kube.port import (
    ClusterError,
    ClusterPort,
    ConflictError,
    NameConflictError,
    NotFoundError,
    RefusedError,
    SessionKey,
)

AFTER_CONFLICT_SECONDS: Final = 1.0
AFTER_CREATION_SECONDS: Final = 1.0
"""Until the next look at Jobs that were made. Their pods mostly ask for one sooner; but one that a
queue holds from its creation has no pod, and the answer to its creation is all that says so."""
AT_ONCE: Final = 16
"""Jobs of one session that are created side by side."""

Written = Callable[[TrainingSessionStatus, TrainingSessionStatus, Sequence[Event]], None]


async def reconcile_once(
    port: ClusterPort, key: SessionKey, now: datetime, *, written: Written | None = None
) -> float | None:
    """Takes a session one step further.

    Status is written once, last, and only where it differs; events follow a write that succeeded,
    so that each transition is told once.

    Args:
        port: The cluster.
        key: The session.
        now: The time, with a time zone.
        written: Is told of a status that was written: the one before, the new one, the events.

    Returns:
        Seconds after which to look again; 0 where this step wrote a status, or published, and
        another follows, None where only a change of what is observed asks for another.

    Raises:
        NameConflictError: The name of a child belongs to something else; all else is done.
        RefusedError: The cluster will not have a child; everything else of the step is done.
        ClusterError: The cluster failed in a way that a later turn may not.
    """
    observed = await port.observe(key)
    if observed is None:
        return None
    session = observed.session
    step = plan(observed, now)
    refused = await _apply_all(port, session, step.actions)
    # The status tells what was observed, so one child that the cluster will not have holds up
    # neither the others nor the outcomes that were read.
    wait = step.requeue_after
    if step.status != session.status:
        try:
            await port.write_status(session, step.status)
        except ConflictError:
            return AFTER_CONFLICT_SECONDS
        except NotFoundError:
            return None
        if written is not None:
            written(session.status, step.status, step.events)
        for event in step.events:
            await port.emit(session, event)
        wait = 0.0
    elif any(isinstance(action, PublishProgram) for action in step.actions):
        wait = 0.0  # what came of it is only in the adapter's memory so far
    elif any(isinstance(action, CreateJob) for action in step.actions):
        wait = min(wait or AFTER_CREATION_SECONDS, AFTER_CREATION_SECONDS)
    if refused is not None:
        raise refused
    return wait


async def _apply_all(
    port: ClusterPort, session: SessionView, actions: Sequence[Action]
) -> ClusterError | None:
    """Applies the actions; returns the first error that concerns its own object alone.

    What is deleted goes first, and the configuration is there before the Jobs that mount it. The
    Jobs are made side by side: each is a round trip of its own.
    """
    jobs = [action for action in actions if isinstance(action, CreateJob)]
    others = [action for action in actions if not isinstance(action, CreateJob)]
    first: ClusterError | None = None
    for action in others:
        refused = await _apply(port, session, action)
        first = first or refused
    for batch in _batched(jobs, AT_ONCE):
        answers = await asyncio.gather(*(_apply(port, session, job) for job in batch))
        first = first or next((answer for answer in answers if answer is not None), None)
    return first


async def _apply(port: ClusterPort, session: SessionView, action: Action) -> ClusterError | None:
    try:
        match action:
            case CreateConfigMap(manifest) | CreateJob(manifest):
                await port.create(manifest)
            case DeleteJob(name):
                await port.delete("Job", session, name)
            case DeleteConfigMap(name):
                await port.delete("ConfigMap", session, name)
            case PublishProgram(request):
                await port.publish(request)
    except (NameConflictError, RefusedError) as error:
        return error
    return None


def _batched(jobs: Sequence[CreateJob], most: int) -> Iterator[Sequence[CreateJob]]:
    """Cuts a sequence into pieces of at most ``most``."""
    for start in range(0, len(jobs), most):
        yield jobs[start : start + most]
