"""One turn for one session (82): observe, plan, children, one status write, then events."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from cascade_operator.control.domain.model import (
    Action,
    CreateConfigMap,
    CreateJob,
    DeleteConfigMap,
    DeleteJob,
    Event,
    EventType,
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
AFTER_NAME_CONFLICT_SECONDS: Final = 10.0


async def reconcile_once(port: ClusterPort, key: SessionKey, now: datetime) -> float | None:
    """Takes a session one step further.

    Status is written once, last, and only where it differs; events follow a write that succeeded,
    so that each transition is told once.

    Args:
        port: The cluster.
        key: The session.
        now: The time, with a time zone.

    Returns:
        Seconds after which to look again; 0 where this step wrote a status that another follows,
        None where only a change of what is observed asks for another.

    Raises:
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
        for event in step.events:
            await port.emit(session, event)
        wait = 0.0
    if refused is None:
        return wait
    if isinstance(refused, NameConflictError):
        await port.emit(session, Event(EventType.WARNING, "NameConflict", str(refused)))
        return AFTER_NAME_CONFLICT_SECONDS
    raise refused


async def _apply_all(
    port: ClusterPort, session: SessionView, actions: Iterable[Action]
) -> ClusterError | None:
    """Applies each action; returns the first error that concerns its own object alone."""
    first: ClusterError | None = None
    for action in actions:
        try:
            await _apply(port, session, action)
        except (NameConflictError, RefusedError) as error:
            first = first or error
    return first


async def _apply(port: ClusterPort, session: SessionView, action: Action) -> None:
    match action:
        case CreateConfigMap(manifest) | CreateJob(manifest):
            await port.create(manifest)
        case DeleteJob(name):
            await port.delete("Job", session.namespace, name)
        case DeleteConfigMap(name):
            await port.delete("ConfigMap", session.namespace, name)
