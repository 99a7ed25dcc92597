"""Whether the operator is alive and ready (89). Pure; the probes ask."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cascade_operator.control.runtime.watches import WatchState

QUEUE_MOST_SECONDS: Final = 120.0
"""A session that has been due for so long is not reconciled any more."""

BEAT_MOST_SECONDS: Final = 15.0
"""The event loop owes a beat each second; so late, it is blocked or starved."""

_EVENTS_PER_RESYNC: Final = 3.0
"""A quiet cluster has no events, but each resync is a list: three missed are a fault."""


class Role(StrEnum):
    """What this replica does."""

    STARTING = "starting"
    STANDBY = "standing by"
    LEADING = "leading"
    ENDING = "ending"


_AT_WORK: Final = (Role.STANDBY, Role.LEADING)


@dataclass(frozen=True, slots=True)
class Vitals:
    """What the probes judge by.

    Attributes:
        role: What this replica does.
        beat_seconds: Since the event loop's last beat.
        synced: The first lists of all kinds have been read.
        oldest_queued_seconds: How long the first session in the queue has been due.
        last_event_seconds: Since the last event or list.
        watches: How the watches are.
        resync_seconds: Between two lists.
        missing: The rights that the service account lacks, in words.
        elsewhere: Which of its namespaces another operator serves, in words.
    """

    role: Role
    beat_seconds: float = 0.0
    synced: bool = False
    oldest_queued_seconds: float = 0.0
    last_event_seconds: float = 0.0
    watches: WatchState = WatchState.STARTING
    resync_seconds: float = 300.0
    missing: str = ""
    elsewhere: str = ""


def sickness(vitals: Vitals) -> str:
    """Says why the process should be started anew; empty where it should not.

    What a restart does not mend is no reason: an API server that is away, a CRD that is missing.
    """
    if vitals.beat_seconds > BEAT_MOST_SECONDS:
        return f"the event loop has been blocked for {vitals.beat_seconds:.0f} s"
    if vitals.role not in _AT_WORK:
        return ""
    if vitals.watches in (WatchState.NO_ANSWER, WatchState.NO_CRD):
        return ""
    if vitals.oldest_queued_seconds > QUEUE_MOST_SECONDS:
        return f"a session has been due for {vitals.oldest_queued_seconds:.0f} s"
    if vitals.last_event_seconds > _EVENTS_PER_RESYNC * vitals.resync_seconds:
        return f"the last event or list was {vitals.last_event_seconds:.0f} s ago"
    return ""


def unreadiness(vitals: Vitals) -> str:
    """Says why the process is not ready; empty where it is.

    One that stands by is ready once it could take over: a rollout then ends the one that leads.
    """
    if vitals.role not in _AT_WORK:
        return str(vitals.role)
    if vitals.missing:
        return f"the service account may not {vitals.missing}"
    if not vitals.synced:
        return "the first lists have not been read"
    if vitals.watches is not WatchState.WATCHING:
        return str(vitals.watches)
    return vitals.elsewhere
