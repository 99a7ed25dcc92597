"""How far a run's own estimate was off: one line under its figures."""

# ruff: noqa: PLC0415 - heavy modules load only when their command runs

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cascade_operator.api.estimate import RunEstimate, compared, read_estimate
from cascade_operator.api.status import Phase
from cascade_operator.monitoring.figures import seconds_text

if TYPE_CHECKING:
    from cascade_operator.archive.model import RunArchive
    from cascade_operator.cli.drive import Ended


def forecast_of_run(ended: Ended) -> tuple[str, ...]:
    """Compares a complete run with what it expected when it was prepared.

    Returns:
        No line where it is not complete, or its archives hold no estimate.
    """
    outcome = ended.outcome
    if outcome.status.phase is not Phase.COMPLETE or not outcome.archives:
        return ()
    from cascade_operator.archive.errors import ArchiveError
    from cascade_operator.archive.members import ESTIMATE
    from cascade_operator.archive.reader import read_document

    smallest = min(outcome.archives, key=lambda path: path.stat().st_size if path.exists() else 0)
    try:
        estimate = read_estimate(read_document(smallest, ESTIMATE))
    except ArchiveError:
        return ()
    if estimate is None:
        return ()
    calls, took = ended.last.calls.model_calls, ended.last.elapsed
    line = compared(estimate.model_calls.likely, calls)
    if estimate.seconds is not None and took is not None:
        line += f"; time: estimated {seconds_text(estimate.seconds)}, took {seconds_text(took)}"
    if ended.last.warm_started_from and calls < estimate.model_calls.likely:
        line += "; what earlier runs had asked came from the cache"
    return (line,)


def forecast_of_archive(run: RunArchive) -> tuple[str, ...]:
    """Compares the groups an archive holds with what was expected of them."""
    from cascade_operator.archive.members import ESTIMATE

    estimate = read_estimate(run.documents.get(ESTIMATE))
    took = {key: _calls(group.result) for key, group in run.groups.items()}
    known = {key: n for key, n in took.items() if n is not None}
    if estimate is None or not known or not set(known) <= set(estimate.groups):
        return ()
    return (_of_groups(estimate, known),)


def _of_groups(estimate: RunEstimate, took: dict[str, int]) -> str:
    calls = sum(took.values())
    expected = estimate.model_calls
    if set(took) != set(estimate.groups):
        # Groups share calls: whose they are depends on who comes first, so no part is compared.
        return (
            f"the run was estimated to take {expected.likely} model calls, "
            f"{expected.at_most} at most; these groups took {calls}"
        )
    prepare = estimate.basis.prepare_calls.likely
    return compared(expected.likely, calls + prepare)


def _calls(result: Any) -> int | None:
    """The model calls that a group's archived figures name; they may hold anything."""
    figures = result.get("figures")
    calls = figures.get("calls") if isinstance(figures, dict) else None
    found = calls.get("modelCalls") if isinstance(calls, dict) else None
    return found if isinstance(found, int) and not isinstance(found, bool) else None
