"""Sessions as kept and as read: whatever stands in them."""

import pytest

from cascade_operator.api.status import Phase, TrainingSessionStatus
from cascade_operator.control.kube.sessions import SessionReader, read_status, summarise_session
from cascade_operator.control.manifests.labels import RETRAIN_ANNOTATION
from fakes.raw_objects import raw_session
from fakes.run_steps import prepared


def view(**parts):
    return SessionReader().view(summarise_session(raw_session(7, **parts)))


def test_a_session_is_read_as_the_planner_needs_it():
    annotations = {RETRAIN_ANNOTATION: "now", **{f"garbage-{n}": "x" * 100 for n in range(1000)}}
    found = view(metadata={"annotations": annotations, "generation": 3})
    assert (found.namespace, found.name, found.resource_version) == ("team", "triage", "7")
    assert found.generation == 3
    assert found.annotations == {RETRAIN_ANNOTATION: "now"}
    assert found.spec.traces.import_ == "bfcl"
    assert found.problems == ()


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        pytest.param({"traces": {"import": "bfcl"}, "trails": 3}, "spec.trails", id="unknown"),
        pytest.param({"traces": {"import": 3}}, "spec.traces.import", id="wrong type"),
        pytest.param({}, "spec.traces", id="missing"),
        pytest.param(None, "spec", id="no spec"),
        pytest.param([1], "spec", id="no object"),
    ],
)
def test_a_spec_that_cannot_be_used_says_what_is_wrong(spec, path):
    found = view(spec=spec)
    assert found.spec is None
    assert any(problem.path.startswith(path) for problem in found.problems)


def test_a_status_comes_back_as_it_was_written():
    status = prepared().status
    raw = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert read_status(raw) == status


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("conditions", "none", id="wrong type"),
        pytest.param("phase", "Dancing", id="unknown word"),
        pytest.param("history", [{"number": -1}], id="out of range"),
        pytest.param("unheardOf", 1, id="of a newer version"),
    ],
)
def test_a_field_that_cannot_be_read_costs_the_others_nothing(field, value):
    status = prepared().status
    raw = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    found = read_status({**raw, field: value})
    assert found.run == status.run
    assert found.groups == status.groups


@pytest.mark.parametrize(
    ("part", "field"),
    [
        pytest.param({"heldTime": "yesterday"}, "held_time", id="a time"),
        pytest.param({"heldTime": "9999-12-31T23:59:59Z"}, "held_time", id="the last time"),
        pytest.param({"heldTime": "0001-01-01T00:00:00+05:00"}, "held_time", id="before the first"),
        pytest.param({"prepare": {"phase": "Dancing"}}, "prepare", id="a word further down"),
        pytest.param({"spent": {"calls": -1, "tokens": 3}}, "spent", id="a number"),
        pytest.param({"program": {"group": "00"}}, "program", id="what something lacks"),
    ],
)
def test_what_cannot_be_read_within_a_run_costs_the_run_nothing(part, field):
    status = prepared().status
    raw = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    found = read_status({**raw, "run": {**raw["run"], **part}})
    assert found.run.number == status.run.number
    others = {field}
    assert found.run.model_dump(exclude=others) == status.run.model_dump(exclude=others)
    assert found.groups == status.groups


def test_of_a_list_only_the_items_that_cannot_be_read_are_left_out():
    status = prepared().status
    raw = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    groups = [*({"phase": "Running"}, {"name": "77"}, 3), *raw["groups"], *([{"nodes": []}] * 9)]
    groups[3] = {**groups[3], "retryTime": "soon", "attempt": "many"}
    found = read_status({**raw, "groups": groups})
    assert [group.name for group in found.groups] == [group.name for group in status.groups]
    assert found.groups[1:] == status.groups[1:]
    assert found.groups[0].retry_time is None


def test_a_status_of_nothing_but_garbage_is_none():
    assert read_status({"observedGeneration": "x", "run": 3}) == TrainingSessionStatus()


def test_a_phase_is_one_that_is_known():
    assert summarise_session(raw_session(status={"phase": "Training"})).phase == Phase.TRAINING
    assert summarise_session(raw_session(status={"phase": "\x1b[2J"})).phase == ""


def test_groups_are_counted_by_phase():
    groups = [{"phase": "Running"}, {"phase": "Running"}, {"phase": "Failed"}, "odd", {}]
    summary = summarise_session(raw_session(status={"groups": groups}))
    assert summary.groups == {"Running": 2, "Failed": 1, "": 1}


def test_what_was_written_is_not_parsed_again():
    reader = SessionReader()
    summary = summarise_session(raw_session(9))
    status = prepared().status
    reader.written(summary, status)
    assert reader.view(summary).status is status
