"""Turns a snapshot of a running session into what a reader sees of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from cascade_operator.cli.status_rows import status_view
from cascade_operator.cli.view import RunView
from cascade_operator.local.embedded import needs_of
from cascade_operator.local.servers.chat import CHAT_MODEL_NOTE

if TYPE_CHECKING:
    from cascade_operator.api.session import TrainingSession
    from cascade_operator.local.session_run import RunOutcome, RunSnapshot


def view_of(snapshot: RunSnapshot, session: TrainingSession, now: datetime) -> RunView:
    """Returns what a reader sees of a running session.

    Args:
        snapshot: Its status as a cluster would hold it, and the Jobs' live figures.
        session: Whose it is.
        now: The time; aware.
    """
    view = status_view(snapshot.status, session.metadata.name, now, snapshot.progress)
    return replace(view, notes=tuple(snapshot.notes))


def outcome_view(
    outcome: RunOutcome, last: Sequence[RunSnapshot], session: TrainingSession, now: datetime
) -> RunView:
    """Returns what a reader sees of a run that has ended.

    Archives stand with their paths on this machine. Of the notes last seen, the one about the
    embedded model is left out, because the summary has its own words for it.
    """
    view = status_view(outcome.status, session.metadata.name, now, {})
    notes = tuple(note for note in last[-1].notes if note != CHAT_MODEL_NOTE) if last else ()
    if len(outcome.archives) != len(view.archives):
        return replace(view, notes=notes)
    archives = tuple(
        replace(archive, path=str(path))
        for archive, path in zip(view.archives, outcome.archives, strict=True)
    )
    return replace(view, notes=notes, archives=archives)


def uses_embedded_model(session: TrainingSession) -> bool:
    """Whether the model that comes with the package answers, because no server is named."""
    return needs_of(session.spec).chat
