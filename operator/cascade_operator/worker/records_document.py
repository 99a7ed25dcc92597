"""What a reader should know of a run's records: ``18_records.json``. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cascade_operator.api.records import CallFigures, SplitCounts
from cascade_operator.traces.record import TraceRecord, TraceSet

MAX_REJECTED: Final = 300
MAX_NOTES: Final = 300
MAX_METRICS: Final = 50
"""Names of figures kept of one node."""
_MAX_NOTE: Final = 1000
_MAX_NAME: Final = 100


def records_found(traces: TraceSet, split: SplitCounts) -> dict[str, Any]:
    """Returns the part of the document that the records are needed for.

    Args:
        traces: The records in use and the rows put aside.
        split: How many records each split has.
    """
    return {
        "version": 1,
        "records": len(traces.records),
        "split": split.dump(),
        "duplicates": traces.duplicates,
        "rejected": {
            "total": traces.bad,
            "rows": [
                {"row": bad.row, "recordId": bad.record_id, "reason": bad.reason}
                for bad in traces.rejected[:MAX_REJECTED]
            ],
        },
        "traceMetrics": trace_metrics(traces.records),
    }


def records_document(
    found: Mapping[str, Any],
    *,
    warm_started_from: str,
    notes: Sequence[str],
    calls: CallFigures,
) -> dict[str, Any]:
    """Returns what prepare found: what is used, put aside and filled in, as JSON.

    Args:
        found: What ``records_found`` returned.
        warm_started_from: Session id of the run it started from; empty for a cold start.
        notes: What was imputed, left out or warned of.
        calls: What prepare's model calls cost.
    """
    return {
        **found,
        "warmStartedFrom": warm_started_from,
        "notes": {"total": len(notes), "shown": [note[:_MAX_NOTE] for note in notes[:MAX_NOTES]]},
        "calls": calls.dump(),
    }


def trace_metrics(records: Sequence[TraceRecord]) -> dict[str, dict[str, dict[str, float]]]:
    """Returns the means of the figures that came with the traces.

    Returns:
        Node -> figure -> ``mean`` and ``records``, the number of records that have it.
    """
    sums: dict[str, dict[str, tuple[float, int]]] = {}
    for record in records:
        for node, figures in record.metrics.items():
            own = sums.setdefault(node[:_MAX_NAME], {})
            for name, value in figures.items():
                shown = name[:_MAX_NAME]
                if shown not in own and len(own) >= MAX_METRICS:
                    continue
                total, count = own.get(shown, (0.0, 0))
                own[shown] = total + value, count + 1
    return {
        node: {
            name: {"mean": total / count, "records": count}
            for name, (total, count) in own.items()
            if math.isfinite(total)
        }
        for node, own in sums.items()
        if own
    }
