import gzip
import json
import os
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cascade_operator.api.errors import DataError
from cascade_operator.traces import reader, source
from cascade_operator.traces.reader import read_one, read_traces
from cascade_operator.traces.row import MAX_TEXT_BYTES
from cascade_operator.traces.split import split_records
from fakes.traces import NODES, record, row, write_jsonl

TEXT_MAP = pa.map_(pa.string(), pa.string())


def as_text(value):
    return {node: json.dumps(fields) for node, fields in value.items()}


def parquet_table(rows, chain=TEXT_MAP, **columns):
    def chains(name):
        texts = [as_text(r[name]) for r in rows]
        return pa.array(
            [list(t.items()) for t in texts] if pa.types.is_map(chain) else texts, chain
        )

    return pa.table(
        {
            "record_id": pa.array([r["record_id"] for r in rows]),
            "agent_chain_inputs": chains("agent_chain_inputs"),
            "agent_chain_outputs": chains("agent_chain_outputs"),
            "validated_json": pa.array([json.dumps(r["validated_json"]) for r in rows]),
        }
        | columns
    )


def write_parquet(path, table):
    pq.write_table(table, path)
    return path


def read(path, percent=5.0, max_records=None):
    return read_traces(path, nodes=NODES, max_records=max_records, max_invalid_percent=percent)


STRUCT = pa.struct([("plan", pa.string()), ("act", pa.large_string())])


@pytest.mark.parametrize("chain", [TEXT_MAP, STRUCT], ids=["map", "struct"])
def test_parquet_is_read(tmp_path, chain):
    rows = [row(n) for n in range(300)]
    found = read(write_parquet(tmp_path / "t.parquet", parquet_table(rows, chain)))
    assert found.records == tuple(record(n) for n in range(300))
    assert (found.rejected, found.duplicates) == ((), 0)


def test_parquet_of_nested_structs_is_read(tmp_path):
    table = pa.Table.from_pylist([row(n) | {"validated_json": json.dumps(row(n)["validated_json"])}
                                  for n in range(3)])  # fmt: skip
    found = read(write_parquet(tmp_path / "t.parquet", table))
    assert found.records == tuple(record(n) for n in range(3))


def test_optional_columns_are_read(tmp_path):
    metrics = pa.map_(pa.string(), pa.map_(pa.string(), pa.float64()))
    vectors = pa.map_(pa.string(), pa.list_(pa.float32()))
    table = parquet_table(
        [row(0)],
        group_key=pa.array(["g"]),
        agent_chain_metrics=pa.array(
            [[("plan", [("loss", 0.5), ("gain", float("nan"))])]], metrics
        ),
        input_embeddings=pa.array([[("plan", [1.0, 2.0])]], vectors),
    )
    (found,) = read(write_parquet(tmp_path / "t.parquet", table)).records
    assert found.group_key == "g"
    assert found.metrics == {"plan": {"loss": 0.5}}
    assert found.input_embeddings == {"plan": (1.0, 2.0)}
    assert found.output_embeddings == {}


@pytest.mark.parametrize("form", [lambda v: v, as_text], ids=["objects", "json texts"])
def test_jsonl_is_read(tmp_path, form):
    rows = [row(n) for n in range(3)]
    for r in rows:
        r["agent_chain_inputs"] = form(r["agent_chain_inputs"])
    found = read(write_jsonl(tmp_path / "t.jsonl", [rows[0], "", *rows[1:]]))
    assert found.records == tuple(record(n) for n in range(3))


def without(chain, node, field=None):
    changed = json.loads(json.dumps(row(0)[chain]))
    if field:
        del changed[node][field]
    else:
        del changed[node]
    return {chain: changed}


def inputs(text):
    return {"agent_chain_inputs": {"plan": text, "act": {"brief": "b"}}}


BAD_ROWS = [
    ("{no json", "not JSON"),
    ("[1]", "not a JSON object"),
    (row(0, record_id=""), "record_id"),
    (row(0, record_id=7), "record_id"),
    (row(0, record_id="x" * 300), "over 256"),
    (row(0, record_id="a\nb"), "control characters"),
    (row(0, agent_chain_inputs=None), "lacks the node plan"),
    (row(0, agent_chain_inputs=[1]), "not a map from names"),
    (row(0, agent_chain_inputs="text"), "not a map"),
    (row(0, **without("agent_chain_outputs", "act")), r"agent_chain_outputs lacks the node act"),
    (row(0, **without("agent_chain_inputs", "act", "brief")), r"\[act\] lacks the field brief"),
    (row(0, **inputs("{broken")), r"\[plan\] is not JSON"),
    (row(0, **inputs("[]")), r"\[plan\] is not a JSON object"),
    (row(0, **inputs('{"request": NaN}')), "NaN is not JSON"),
    (row(0, **inputs('{"request": 1e999}')), "beyond what a double holds"),
    (row(0, **inputs('{"request": "a\\u0000b"}')), "NUL"),
    (row(0, **inputs('{"request": "\\ud800"}')), "surrogate"),
    (row(0, **inputs('{"\\udfff": 1, "request": 1}')), "surrogate"),
    (row(0, **inputs('{"request": ' + "[" * 70 + "]" * 70 + "}")), "nested too deeply"),
    (row(0, **inputs('{"request": ' + "[" * 9000 + "]" * 9000 + "}")), "nested too deeply"),
    (row(0, **inputs(json.dumps({"request": "x" * MAX_TEXT_BYTES}))), "longer than"),
    (row(0, **inputs('{"request": "' + "\u00fc" * (MAX_TEXT_BYTES // 2) + '"}')), "longer than"),
    (row(0, validated_json=None), "validated_json is missing"),
    (row(0, validated_json="{}"), "no field"),
    (row(0, validated_json={"a": {"anyOf": []}}), "anyOf must be a list"),
    (row(0, input_embeddings={"plan": [1.0, "x"]}), "something else than numbers"),
    (row(0, input_embeddings={"plan": []}), "1 to"),
    (row(0, input_embeddings={"plan": [10**400]}), "a number has 401 digits"),
    (row(0, **inputs('{"request": ' + "9" * 5000 + "}")), "a number has 5000 digits, over 300"),
    (row(0, validated_json='{"call": "\\ud83d"}'), "surrogate"),
    ('{"record_id": "r", "input_embeddings": {"plan": [NaN]}}', "NaN"),
]  # fmt: skip


@pytest.mark.parametrize(("bad", "reason"), BAD_ROWS, ids=[reason for _, reason in BAD_ROWS])
def test_a_bad_row_is_put_aside_with_its_reason(tmp_path, bad, reason):
    path = write_jsonl(tmp_path / "t.jsonl", [row(5), bad, row(6)])
    found = read(path, percent=50)
    assert [r.record_id for r in found.records] == ["r5", "r6"]
    (rejected,) = found.rejected
    assert rejected.row == 2
    assert re.search(reason, rejected.reason)


def test_parquet_rows_that_are_not_utf8_cost_only_themselves(tmp_path):
    table = parquet_table([row(n) for n in range(3)])
    broken = pa.Array.from_buffers(
        pa.string(), 3, pa.array([b"r0", b"\xff\xfe", b"r2"], pa.binary()).buffers()
    )
    path = write_parquet(tmp_path / "t.parquet", table.set_column(0, "record_id", broken))
    found = read(path, percent=50)
    assert [r.record_id for r in found.records] == ["r0", "r2"]
    assert [(r.row, r.reason) for r in found.rejected] == [(2, "not UTF-8")]


def test_repeated_rows_are_dropped_and_contradicting_ones_put_aside(tmp_path):
    rows = [row(0), row(0), row(0, record_id="copy"), row(1, record_id="r0")]
    found = read(write_jsonl(tmp_path / "t.jsonl", rows), percent=50)
    assert [r.record_id for r in found.records] == ["r0"]
    assert found.duplicates == 2
    assert [(r.row, r.record_id) for r in found.rejected] == [(4, "r0")]
    assert "same record_id" in found.rejected[0].reason


def test_too_many_bad_rows_name_the_first_ten(tmp_path):
    rows = [row(n, validated_json=None) for n in range(12)] + [row(n) for n in range(20, 40)]
    with pytest.raises(DataError) as caught:
        read(write_jsonl(tmp_path / "t.jsonl", rows), percent=30)
    message = str(caught.value)
    assert "12 of 32 rows are bad" in message
    assert "row 10 r9: validated_json is missing" in message
    assert "row 11" not in message
    assert "maxInvalidPercent" in caught.value.mend


def test_bad_rows_within_the_share_are_accepted(tmp_path):
    rows = [row(0, validated_json=None)] + [row(n) for n in range(1, 20)]
    found = read(write_jsonl(tmp_path / "t.jsonl", rows), percent=5)
    assert (len(found.records), len(found.rejected)) == (19, 1)


def test_reading_stops_at_the_wanted_number(tmp_path):
    path = write_jsonl(tmp_path / "t.jsonl", [row(0), row(0), row(1), "{broken", row(2)])
    found = read(path, percent=0, max_records=2)
    assert [r.record_id for r in found.records] == ["r0", "r1"]


def test_just_within_the_share_passes_and_just_above_it_does_not(tmp_path):
    # 5 of 100 is exactly 5 %; 6 of 100 is above it.
    good = [row(n) for n in range(95)]
    bad = [row(1000 + n, validated_json=None) for n in range(6)]
    found = read(write_jsonl(tmp_path / "5.jsonl", [*bad[:5], *good]))
    assert (len(found.records), found.bad) == (95, 5)
    with pytest.raises(DataError, match="6 of 100 rows are bad, over the 5 %") as caught:
        read(write_jsonl(tmp_path / "6.jsonl", [*bad, *good[:94]]))
    assert caught.value.exit_code == 65


def test_a_file_without_a_usable_row_says_why_whatever_is_allowed(tmp_path):
    path = write_jsonl(tmp_path / "t.jsonl", [row(0, validated_json=None)])
    with pytest.raises(DataError, match="validated_json is missing"):
        read(path, percent=100)


def test_more_bad_rows_than_are_listed_are_all_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "_KEPT_REJECTIONS", 3)
    rows = [row(n, validated_json=None) for n in range(8)] + [row(9)]
    found = read(write_jsonl(tmp_path / "t.jsonl", rows), percent=90)
    assert (len(found.rejected), found.bad) == (3, 8)


def test_ten_thousand_identical_records_are_one(tmp_path):
    found = read(write_jsonl(tmp_path / "t.jsonl", [row(0)] * 10_000))
    assert (len(found.records), found.duplicates, found.bad) == (1, 9_999, 0)
    with pytest.raises(DataError, match="at least one each") as caught:
        split_records(found.records, validation_fraction=0.4, held_out_fraction=0.2, salt="1")
    assert "3 records that differ in content" in caught.value.mend
    assert caught.value.exit_code == 65


def test_a_text_of_a_megabyte_is_read_and_one_byte_more_is_not(tmp_path):
    frame = len(json.dumps({"call": ""}))
    fits, over = (
        row(n, validated_json=json.dumps({"call": "x" * (MAX_TEXT_BYTES - frame + n)}))
        for n in (0, 1)
    )
    found = read(write_jsonl(tmp_path / "t.jsonl", [fits, over]), percent=50)
    assert [r.record_id for r in found.records] == ["r0"]
    assert found.rejected[0].reason == f"validated_json is longer than {MAX_TEXT_BYTES} bytes"


def test_vectors_of_length_zero_or_of_unequal_length_disturb_nothing(tmp_path):
    # Vectors that came with the traces are carried along; the run embeds anew.
    rows = [
        row(0, input_embeddings={"plan": [0.0] * 8}, output_embeddings={"act": [0.5]}),
        row(1, input_embeddings={"plan": [0.5] * 64}),
    ]
    found = read(write_jsonl(tmp_path / "t.jsonl", rows))
    assert found.records[0].input_embeddings == {"plan": (0.0,) * 8}
    assert [len(r.input_embeddings["plan"]) for r in found.records] == [8, 64]


PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256))
ARRAY = json.dumps([row(n) for n in range(3)])


@pytest.mark.parametrize(
    ("data", "said", "mend"),
    [
        pytest.param(PNG, "is PNG, neither parquet nor JSON", "Write the file again", id="png"),
        pytest.param(gzip.compress(ARRAY.encode()), "is gzip", "gunzip", id="gzip"),
        pytest.param(b"PK\x03\x04" + bytes(99), "is zip", "unzip", id="zip"),
        pytest.param(bytes([200, 7, 99]) * 50, "it begins with ", "Write the", id="random-bytes"),
        pytest.param(ARRAY.encode(), "is a JSON array", "jq -c '.[]'", id="json-array"),
        pytest.param(
            json.dumps([row(0)], indent=1).encode(), "is a JSON array", "jq -c '.[]'", id="indented"
        ),
        pytest.param(
            json.dumps(row(0), indent=1).encode(), "over several lines", "jq -c .", id="pretty"
        ),
        pytest.param(b"record_id,inputs\nr1,x\n", "begins with 'record_id", "again", id="csv"),
        pytest.param(json.dumps(row(0)).encode("utf-16"), "begins with", "again", id="utf-16"),
    ],
)  # fmt: skip
def test_another_format_is_named_once_not_row_by_row(tmp_path, data, said, mend):
    path = tmp_path / "t.jsonl"
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        read(path)
    assert said in str(caught.value)
    assert mend in caught.value.mend
    assert "row 1" not in str(caught.value)


def test_a_broken_first_record_is_a_bad_row_like_any_other(tmp_path):
    rows = ['{"record_id": "r', *(row(n) for n in range(20))]
    found = read(write_jsonl(tmp_path / "t.jsonl", rows))
    assert (len(found.records), found.rejected[0].row) == (20, 1)


def test_a_byte_order_mark_is_no_fault(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(row(0)) + "\n", "utf-8-sig")
    assert len(read(path).records) == 1


@pytest.mark.timeout(20)
def test_what_has_no_end_or_blocks_is_not_opened(tmp_path):
    fifo = tmp_path / "t.parquet"
    os.mkfifo(fifo)
    for path in (fifo, Path("/dev/zero")):
        with pytest.raises(DataError, match="is no regular file"):
            read(path)
    link = tmp_path / "link.jsonl"
    link.symlink_to(tmp_path / "gone")
    with pytest.raises(DataError, match="does not exist"):
        read(link)


def _cut_parquet(path):
    write_parquet(path, parquet_table([row(n) for n in range(50)]))
    path.write_bytes(path.read_bytes()[:-40])


def _damaged_parquet(path):
    write_parquet(path, parquet_table([row(n) for n in range(50)]))
    data = bytearray(path.read_bytes())
    data[4:200] = bytes(196)
    path.write_bytes(data)


def _lacking_column(path):
    write_parquet(path, parquet_table([row(0)]).drop_columns(["validated_json"]))


def _wrong_type(path):
    table = parquet_table([row(0)])
    write_parquet(path, table.set_column(1, "agent_chain_inputs", pa.array([3])))


UNREADABLE = [
    ("none.parquet", lambda path: None, "does not exist"),
    ("folder", lambda path: path.mkdir(), "is a folder"),
    ("t.parquet", lambda path: path.write_bytes(b""), "is empty"),
    ("t.parquet", lambda path: path.write_bytes(b"hello, there"), "is not a parquet file"),
    ("t.dat", lambda path: path.write_bytes(b"\x00\x01\x02\xff" * 9), "neither parquet nor JSON"),
    ("t.parquet", _cut_parquet, "is cut off"),
    ("t.parquet", lambda path: path.write_bytes(b"PAR1"), "is damaged|is cut off"),
    ("t.parquet", _damaged_parquet, "is damaged"),
    ("t.parquet", _lacking_column, "lacks the column validated_json"),
    ("t.parquet", _wrong_type, "agent_chain_inputs of type int64, not map<string, string>"),
    ("t.jsonl", lambda path: path.write_text(json.dumps(row(0)) + '\n{"reco'), "line 2, its last"),
    ("t.jsonl", lambda path: path.write_text("\n\n"), "holds no record"),
]


@pytest.mark.parametrize(
    ("name", "make", "reason"), UNREADABLE, ids=[reason for _, _, reason in UNREADABLE]
)
def test_an_unreadable_file_is_named_with_its_mend(tmp_path, name, make, reason):
    path = tmp_path / name
    make(path)
    with pytest.raises(DataError, match=reason) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert caught.value.mend
    assert caught.value.exit_code == 65


def test_an_endless_line_costs_one_row_and_little_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "MAX_LINE_BYTES", 1000)
    path = write_jsonl(tmp_path / "t.jsonl", [row(0), "x" * 5000, row(1)])
    found = read(path, percent=50)
    assert [r.record_id for r in found.records] == ["r0", "r1"]
    assert found.rejected[0].reason == "longer than 1000 bytes"


def test_one_record_can_be_read_by_its_name(tmp_path):
    path = write_jsonl(tmp_path / "t.jsonl", [row(0), row(1), row(2, validated_json=None)])
    assert read_one(path, "r1") == record(1)
    with pytest.raises(DataError, match="no record named r9"):
        read_one(path, "r9")
    with pytest.raises(DataError, match="row 3, record r2: validated_json"):
        read_one(path, "r2")


def test_the_content_hash_is_fixed():
    # Archives hold it: another value would take every record for an unknown one.
    assert record(1).content_hash[:16] == "1906e504ea62fd1e"
    assert record(1, record_id="other", group_key="g").content_hash == record(1).content_hash
    assert record(2).content_hash != record(1).content_hash
