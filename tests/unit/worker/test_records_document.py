"""What prepare leaves of the records for a report."""

from __future__ import annotations

from dataclasses import replace

from cascade_operator.api.canonical import canonical_json
from cascade_operator.api.records import CallFigures, SplitCounts
from cascade_operator.traces.record import Rejected, TraceSet
from cascade_operator.worker.records_document import (
    MAX_METRICS,
    MAX_REJECTED,
    records_document,
    records_found,
    trace_metrics,
)
from fakes.traces import record


def _document(traces, notes=()):
    split = SplitCounts(training=1, validation=2, held_out=3)
    calls = CallFigures(model_calls=4)
    return records_document(
        records_found(traces, split), warm_started_from="w", notes=notes, calls=calls
    )


def test_it_says_what_is_used_put_aside_and_filled_in():
    traces = TraceSet((record(0),), (Rejected(3, "r3", "no output"),), 5, bad=1)
    found = _document(traces, ["imputed"])
    assert found["rejected"] == {
        "total": 1,
        "rows": [{"row": 3, "recordId": "r3", "reason": "no output"}],
    }
    assert (found["records"], found["duplicates"], found["warmStartedFrom"]) == (1, 5, "w")
    assert found["split"] == {"training": 1, "validation": 2, "heldOut": 3}
    assert found["notes"] == {"total": 1, "shown": ["imputed"]}
    assert found["calls"]["modelCalls"] == 4


def test_it_is_bounded_and_keeps_the_totals():
    rejected = tuple(Rejected(i, "r" * 80, "x" * 300) for i in range(10_000))
    found = _document(TraceSet((record(0),), rejected, 0, bad=len(rejected)), ["n" * 5000] * 900)
    assert (found["rejected"]["total"], len(found["rejected"]["rows"])) == (10_000, MAX_REJECTED)
    assert found["notes"]["total"] == 900
    assert len(canonical_json(found)) < 1 << 20


def test_the_traces_own_figures_are_averaged_by_node():
    records = [
        replace(record(0), metrics={"a": {"cost": 1.0, "time": 2.0}}),
        replace(record(1), metrics={"a": {"cost": 3.0}, "b": {}}),
    ]
    assert trace_metrics(records) == {
        "a": {"cost": {"mean": 2.0, "records": 2}, "time": {"mean": 2.0, "records": 1}}
    }


def test_figures_without_bounds_are_bounded_here():
    many = {f"m{i}": 1.0 for i in range(500)}
    huge = replace(record(0), metrics={"a": {"x": 1e308, "y": 1.0} | many})
    found = trace_metrics([huge, huge])
    assert "x" not in found["a"], "a sum beyond all numbers is no mean"
    assert found["a"]["y"] == {"mean": 1.0, "records": 2}
    assert len(found["a"]) <= MAX_METRICS
