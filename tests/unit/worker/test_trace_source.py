"""Where a run's traces come from, and what is said when there are none."""

from __future__ import annotations

import logging

import pytest

from cascade_operator.api.errors import DataError, SpecError
from cascade_operator.api.traces_spec import TracesSpec
from cascade_operator.worker.trace_source import load_traces, node_fields
from fakes.records import SPEC
from fakes.traces import row, write_jsonl
from fakes.worker_jobs import job_context, run_config

CLAIM = {"persistentVolumeClaim": {"claimName": "traces", "path": "sub/t.jsonl"}}


def _rows(count=4):
    fields = [{"request": f"request {i}"} for i in range(count)]
    return [
        row(
            i,
            agent_chain_inputs={"plan": fields[i], "act": fields[i] | {"brief": f"brief {i}"}},
        )
        for i in range(count)
    ]


@pytest.fixture
def context_of(tmp_path, valkey_socket, redis_client):
    (tmp_path / "traces" / "sub").mkdir(parents=True)

    def context(traces, **env):
        return job_context(tmp_path, valkey_socket, run_config(traces=traces), **env)

    return context


def test_traces_are_read_from_the_claim(tmp_path, context_of):
    write_jsonl(tmp_path / "traces/sub/t.jsonl", _rows())
    assert [r.record_id for r in load_traces(context_of(CLAIM)).records] == ["r0", "r1", "r2", "r3"]


def test_traces_are_read_from_the_file_beside_the_session(tmp_path, context_of):
    file = write_jsonl(tmp_path / "mine.jsonl", _rows())
    context = context_of({"file": "mine.jsonl"}, CASCADE_TRACES_FILE=str(file))
    assert len(load_traces(context).records) == 4


def test_the_first_records_are_used_where_there_are_more(tmp_path, context_of):
    file = write_jsonl(tmp_path / "mine.jsonl", _rows())
    context = context_of({"file": "mine.jsonl", "maxRecords": 3}, CASCADE_TRACES_FILE=str(file))
    assert len(load_traces(context).records) == 3


def test_a_bad_row_is_put_aside_and_named_in_the_log(tmp_path, context_of, caplog):
    rows = _rows()
    file = write_jsonl(tmp_path / "mine.jsonl", [*rows, "{", rows[0]])
    context = context_of(
        {"file": "mine.jsonl", "maxInvalidPercent": 50}, CASCADE_TRACES_FILE=str(file)
    )
    with caplog.at_level(logging.INFO):
        found = load_traces(context)
    assert (len(found.records), len(found.rejected), found.duplicates) == (4, 1, 1)
    assert "4 records, 1 put aside, 1 duplicates" in caplog.text
    assert "row 5" in caplog.text


def test_too_many_bad_rows_end_the_job(tmp_path, context_of):
    file = write_jsonl(tmp_path / "mine.jsonl", [*_rows(), "{}", "{}"])
    with pytest.raises(DataError, match=r"2 of 6 rows are bad, over the 5 %"):
        load_traces(context_of({"file": "mine.jsonl"}, CASCADE_TRACES_FILE=str(file)))


@pytest.mark.parametrize(
    ("traces", "kind", "words", "mend"),
    [
        (CLAIM, DataError, "traces/sub/t.jsonl does not exist", "spec.traces"),
        ({"file": "a.jsonl"}, SpecError, "names a file beside the session", "claim"),
    ],
    ids=["no-file-on-the-claim", "a-file-in-a-cluster"],
)
def test_traces_that_are_not_there_are_named(context_of, traces, kind, words, mend):
    with pytest.raises(kind, match=words) as caught:
        load_traces(context_of(traces))
    assert mend in caught.value.mend


def test_a_session_without_a_source_is_refused(context_of):
    context = context_of({"file": "a.jsonl"})
    spec = context.config.spec.model_copy(update={"traces": TracesSpec.model_construct()})
    object.__setattr__(context, "config", context.config.model_copy(update={"spec": spec}))
    with pytest.raises(SpecError, match=r"names no source"):
        load_traces(context)


def test_each_nodes_fields_are_those_of_its_signature():
    found = node_fields(SPEC)
    assert {name: (f.inputs, f.outputs) for name, f in found.items()} == {
        "plan": (("request",), ("brief",)),
        "act": (("request", "brief"), ("call",)),
    }
