"""Parquet as nobody should write it: strange schemas, damage anywhere, bombs."""

from __future__ import annotations

import datetime
import decimal
import io
import json
import os
import signal
import sys
import time

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_operator.api.errors import DataError, MemoryGateReached
from cascade_operator.traces import parquet_rows
from cascade_operator.traces.parquet_process import read_to
from cascade_operator.traces.reader import read_one, read_traces
from cascade_operator.traces.source import open_rows
from fakes.traces import NODES, row

MAP = pa.map_(pa.string(), pa.string())
ROWS = 20


def columns(rows=ROWS, **changes):
    """The columns of good rows; ``changes`` replace or add some."""
    found = [row(n) for n in range(rows)]

    def chain(name):
        return pa.array([[(k, json.dumps(v)) for k, v in r[name].items()] for r in found], MAP)

    good = {
        "record_id": pa.array([r["record_id"] for r in found]),
        "agent_chain_inputs": chain("agent_chain_inputs"),
        "agent_chain_outputs": chain("agent_chain_outputs"),
        "validated_json": pa.array([json.dumps(r["validated_json"]) for r in found]),
    }
    return good | changes


def write(path, values, **options):
    pq.write_table(pa.table(values), path, **options)
    return path


def read(path, percent=5.0):
    return read_traces(path, nodes=NODES, max_invalid_percent=percent)


def keyed(item, kind):
    return pa.array([[("plan", item)]] * ROWS, pa.map_(pa.string(), kind))


def structs(value):
    return pa.array([{"plan": {"request": value}, "act": {"brief": "b"}}] * ROWS)


TWICE = pa.StructArray.from_arrays([pa.array(["{}"] * ROWS)] * 2, names=["plan", "plan"])
KEYS_AND_VALUES = pa.array([[{"key": "plan", "value": "{}"}]] * ROWS)
STRANGE = {
    "lacks-two": ({"agent_chain_outputs": None, "validated_json": None},
                  "lacks the columns agent_chain_outputs, validated_json"),
    "id-of-numbers": ({"record_id": pa.array(range(ROWS))}, "record_id of type int64, not string"),
    "id-of-bytes": ({"record_id": pa.array([b"r"] * ROWS)}, "of type binary, not string"),
    "key-of-numbers": ({"group_key": pa.array(range(ROWS))}, "group_key of type int64"),
    "list-for-a-map": ({"agent_chain_inputs": KEYS_AND_VALUES}, "not map<string, string>"),
    "map-of-maps": ({"agent_chain_inputs": keyed([("a", "b")], MAP)}, "not map<string, string>"),
    "map-of-bytes": ({"agent_chain_inputs": keyed(b"{}", pa.binary())}, "not map<string, string>"),
    "map-from-numbers": (
        {"agent_chain_inputs": pa.array([[(1, "{}")]] * ROWS, pa.map_(pa.int8(), pa.string()))},
        "not map<string, string>",
    ),
    "metrics-as-text": ({"agent_chain_metrics": pa.array(["{}"] * ROWS)}, "string, not map"),
    "vectors-without-nodes": ({"input_embeddings": pa.array([[1.0]] * ROWS)}, "not map"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "said"), STRANGE.values(), ids=STRANGE)
def test_a_column_of_another_type_is_named_with_what_to_write(tmp_path, change, said):
    values = {name: column for name, column in columns(**change).items() if column is not None}
    with pytest.raises(DataError) as caught:
        read(write(tmp_path / "t.parquet", values))
    assert said in str(caught.value)
    assert caught.value.mend
    assert caught.value.exit_code == 65


def test_a_column_that_stands_twice_is_refused(tmp_path):
    good = columns()
    table = pa.Table.from_arrays([*good.values(), good["record_id"]], [*good, "record_id"])
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(DataError, match="has the column record_id twice"):
        read(tmp_path / "t.parquet")


BAD_CELLS = {
    "a-date": ({"agent_chain_inputs": structs(datetime.datetime(2026, 1, 1))}, "datetime"),
    "a-decimal": ({"agent_chain_inputs": structs(decimal.Decimal("1.5"))}, "Decimal"),
    "bytes": ({"agent_chain_inputs": structs(b"b")}, "bytes"),
    "nan": ({"agent_chain_inputs": structs(float("nan"))}, "beyond what a double holds"),
    "a-name-twice": ({"agent_chain_inputs": TWICE}, "duplicate field names"),
    "a-node-twice": (
        {"agent_chain_inputs": pa.array([[("plan", "{}"), ("plan", "{}")]] * ROWS, MAP)},
        "names a node twice",
    ),
    "another-nodes-fields": (
        {"agent_chain_inputs": keyed({"other": "x"}, pa.struct([("other", pa.string())]))},
        "[plan] lacks the field request",
    ),
    "vectors-as-text": ({"input_embeddings": keyed("x", pa.string())}, "not a list of 1 to"),
    "vectors-of-vectors": (
        {"output_embeddings": keyed([[1.0]], pa.list_(pa.list_(pa.float32())))},
        "holds something else than numbers",
    ),
    "a-vector-of-nan": (
        {"input_embeddings": keyed([1.0, float("nan")], pa.list_(pa.float32()))},
        "input_embeddings[plan] holds NaN",
    ),
    "a-nul": ({"validated_json": pa.array(['{"call": "a\\u0000b"}'] * ROWS)}, "NUL"),
    "half-a-character": ({"validated_json": pa.array(['{"call": "\\ud800"}'] * ROWS)}, "surrogate"),
}


@pytest.mark.parametrize(("change", "said"), BAD_CELLS.values(), ids=BAD_CELLS)
def test_a_cell_no_stage_could_use_makes_its_row_a_bad_one(tmp_path, change, said):
    with pytest.raises(DataError) as caught:
        read(write(tmp_path / "t.parquet", columns(**change)))
    assert "20 of 20 rows are bad" in str(caught.value)
    assert f"row 1 r0: {said}" in str(caught.value) or said in str(caught.value)
    assert "row 1 r0" in str(caught.value)
    assert caught.value.exit_code == 65


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        pytest.param("record_id", pa.array([f"r{n}" for n in range(ROWS)], pa.large_string()),
                     id="large-text"),
        pytest.param("record_id", pa.array([f"r{n}" for n in range(ROWS)]).dictionary_encode(),
                     id="dictionary"),
        pytest.param("agent_chain_metrics", pa.nulls(ROWS), id="nothing"),
        pytest.param("input_embeddings", keyed([0.5, 0.5], pa.list_(pa.float16(), 2)),
                     id="halves-of-fixed-length"),
        pytest.param("input_embeddings", keyed([0.0] * 8, pa.list_(pa.float64())), id="zeros"),
    ],
)  # fmt: skip
def test_what_other_writers_make_of_the_same_data_is_read(tmp_path, name, cells):
    found = read(write(tmp_path / "t.parquet", columns(**{name: cells})))
    assert [r.record_id for r in found.records] == [f"r{n}" for n in range(ROWS)]


def _bytes(**options):
    out = io.BytesIO()
    vectors = keyed([0.25] * 4, pa.list_(pa.float32()))
    pq.write_table(pa.table(columns(input_embeddings=vectors)), out, **options)
    return out.getvalue()


SOURCES = [
    _bytes(compression="none"),
    _bytes(compression="snappy", row_group_size=7),
    _bytes(compression="zstd", use_dictionary=False, data_page_version="2.0"),
]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damage_in_any_page_or_footer_ends_in_an_answer(tmp_path_factory, data):
    # In this process: where the library should end it after all, this test ends, too.
    changed = bytearray(data.draw(st.sampled_from(SOURCES)))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(4, len(changed) - 5))
        changed[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.parquet"
    path.write_bytes(changed)
    out = io.BytesIO()
    read_to(out, str(path))
    *rows, last = [json.loads(line) for line in out.getvalue().splitlines()]
    assert all("row" in answer for answer in rows)
    assert last.get("end") == len(rows) or last["error"].startswith("is damaged:") or last["mend"]


@pytest.mark.parametrize("left", [5, 12, 200, -9, -4, -1])
def test_a_truncated_file_is_called_cut_off(tmp_path, left):
    path = tmp_path / "t.parquet"
    path.write_bytes(SOURCES[0][:left])
    with pytest.raises(DataError, match="is cut off"):
        read(path)


def test_a_folder_and_an_empty_file_named_parquet(tmp_path):
    (tmp_path / "folder.parquet").mkdir()
    with pytest.raises(DataError, match="is a folder"):
        read(tmp_path / "folder.parquet")


def _readers():
    return [
        process for process in psutil.Process().children()
        if "cascade_operator.traces.parquet_process" in process.cmdline()
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "error", "said"),
    [
        (signal.SIGABRT, DataError, r"is damaged: reading it ended .* \(SIGABRT\)"),
        (signal.SIGSEGV, DataError, r"\(SIGSEGV\)"),
        (signal.SIGXCPU, DataError, r"\(SIGXCPU\)"),
        (signal.SIGKILL, MemoryGateReached, "was killed"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_reader_that_dies_takes_nobody_with_it(tmp_path, number, error, said):
    # Enough rows that the pipe is full, so that the reader has to wait for us.
    rows = open_rows(write(tmp_path / "t.parquet", columns(5_000)))
    assert next(rows).values["record_id"] == "r0"
    (reader,) = _readers()
    os.kill(reader.pid, number)
    with pytest.raises(error, match=said) as caught:
        for _ in rows:
            pass
    assert caught.value.mend
    assert not _readers()


def test_who_wants_one_record_leaves_no_reader_behind(tmp_path):
    path = write(tmp_path / "t.parquet", columns(5_000))
    assert read_one(path, "r3").record_id == "r3"
    assert len(read_traces(path, nodes=NODES, max_records=2).records) == 2
    deadline = time.monotonic() + 10
    while _readers() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _readers()


@pytest.fixture
def small_reader(monkeypatch):
    """A reader that may take 160 MiB, so that a bomb of a test need not be larger."""
    code = (
        "from cascade_operator.traces import parquet_process as p; p.DATA_BYTES = 160 << 20; "
        "p.main()"
    )
    monkeypatch.setattr(parquet_rows, "_COMMAND", (sys.executable, "-c", code))


def _long_list(path):
    count = 20_000_000
    values = pa.array(np.zeros(count, np.float32))
    lists = pa.ListArray.from_arrays(pa.array([0, count], pa.int32()), values)
    vectors = pa.MapArray.from_arrays(pa.array([0, 1], pa.int32()), pa.array(["plan"]), lists)
    write(path, columns(1, input_embeddings=vectors), compression="zstd")


def _long_text(path):
    text = pa.array(["x" * (170 << 20)])
    write(path, columns(1, validated_json=text), compression="zstd", use_dictionary=False)


@pytest.mark.parametrize("make", [_long_list, _long_text], ids=["a-list", "a-text"])
def test_a_bomb_is_refused_within_the_bound(tmp_path, small_reader, make):
    assert len(read(write(tmp_path / "good.parquet", columns())).records) == ROWS
    path = tmp_path / "bomb.parquet"
    make(path)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(DataError, match="needs more than 160 MiB to be read") as caught:
        read(path)
    assert "smaller" in caught.value.mend


def _repeated_text(path, rows):
    """Each row holds 20 MiB, the file one copy of it."""
    indices = pa.array([0] * rows, pa.int32())
    text = pa.DictionaryArray.from_arrays(indices, pa.array(["x" * (20 << 20)]))
    options = {"compression": "zstd", "dictionary_pagesize_limit": 1 << 30}
    write(path, columns(rows, validated_json=text), **options)
    return path


def test_a_dictionary_that_repeats_a_long_text_costs_bad_rows_only(tmp_path):
    path = _repeated_text(tmp_path / "bomb.parquet", ROWS)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(DataError, match="20 of 20 rows are bad") as caught:
        read(path)
    assert "row 1 r0: longer than 16777216 bytes" in str(caught.value)


def test_a_file_of_rows_too_long_is_given_up(tmp_path):
    with pytest.raises(DataError, match="has over 1000 rows longer than 16777216 bytes"):
        read(_repeated_text(tmp_path / "bomb.parquet", 1001))


def test_more_rows_than_any_run_could_hold_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_rows, "MAX_ROWS", 50)
    path = write(tmp_path / "t.parquet", columns(51))
    with pytest.raises(DataError, match="holds more than 50 rows") as caught:
        read(path)
    assert "maxRecords" in caught.value.mend
    assert len(read_traces(path, nodes=NODES, max_records=10).records) == 10


def test_rows_of_megabytes_are_read_within_the_bound(tmp_path):
    megabyte = json.dumps({"brief": "b" * 1_000_000})
    chain = pa.array([[("plan", megabyte), ("act", megabyte)]] * 40, MAP)
    path = write(tmp_path / "t.parquet", columns(40, agent_chain_outputs=chain))
    nodes = {"plan": NODES["plan"]}
    assert len(read_traces(path, nodes=nodes).records) == 40
