"""What a user reads when the session, the traces or a server is wrong."""

from __future__ import annotations

import socket

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fakes.cascade_cli import cascade, start_cascade
from fakes.model_server import FakeModelServer
from fakes.ticket_runs import TicketRun, ticket_answers, ticket_rows, ticket_session, write_session

pytestmark = [pytest.mark.process]

NOWHERE = "http://127.0.0.1:9"


def _unknown_field(spec):
    spec["optimizer"]["trails"] = 9


def _wrong_type(spec):
    spec["optimizer"]["trials"] = "many"


def _circle(spec):
    classify, extract = spec["cascade"]["tiers"][0]["nodes"]
    classify["signature"] = "ticket, product -> category"
    extract |= {"signature": "ticket, category -> product"}
    del extract["inputs"], extract["outputs"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(
            _unknown_field,
            ["spec.optimizer.trails = 9", "is not a field", "did you mean 'trials'?"],
            id="unknown-field",
        ),
        pytest.param(
            _wrong_type,
            ['spec.optimizer.trials = "many"', "must be a whole number", "without quotes"],
            id="wrong-type",
        ),
        pytest.param(
            _circle,
            [
                "spec.cascade.tiers[0].nodes[0].signature",
                "classify reads product written by extract",
                "extract reads category written by classify",
                "to mend: let one of them read only what earlier tiers write",
            ],
            id="circle",
        ),
    ],
)
def test_an_invalid_session_is_refused_before_anything_is_done(tmp_path, change, words):
    document = ticket_session(NOWHERE)
    change(document["spec"])
    ended = cascade("run", write_session(tmp_path, document), "--state", tmp_path / "state")
    _assert_told(ended, 64, words)
    assert not (tmp_path / "state").exists()


def _empty(file):
    file.write_bytes(b"")


def _cut_off(file):
    rows = [
        {
            "record_id": row["record_id"],
            "agent_chain_inputs": row["agent_chain_inputs"],
            "agent_chain_outputs": row["agent_chain_outputs"],
            "validated_json": str(row["validated_json"]),
        }
        for row in ticket_rows()
    ]
    pq.write_table(pa.Table.from_pylist(rows), file)
    file.write_bytes(file.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        pytest.param("tickets.jsonl", _empty, ["tickets.jsonl is empty"], id="empty"),
        pytest.param(
            "cut.parquet",
            _cut_off,
            ["cut.parquet is cut off: it starts as parquet but lacks its end"],
            id="truncated-parquet",
        ),
    ],
)
def test_unusable_traces_end_the_run(tmp_path, server, name, damage, words):
    file = write_session(tmp_path, ticket_session(server.url, traces={"file": name}))
    damage(tmp_path / name)
    ended = cascade("run", file, "--state", tmp_path / "state")
    _assert_told(ended, 65, [*words, "Write the file again"])
    run = TicketRun(tmp_path / "state")
    assert run.status["run"]["prepare"]["attempt"] == 1  # tried again, it would fail again


def test_a_missing_trace_file_is_named_at_once(tmp_path, server):
    file = write_session(tmp_path, ticket_session(server.url, traces={"file": "other.jsonl"}))
    ended = cascade("run", file, "--state", tmp_path / "state")
    _assert_told(ended, 65, [str(tmp_path / "other.jsonl"), "relative to the session's file"])


def test_a_server_that_refuses_connections_is_named(tmp_path):
    url = f"http://127.0.0.1:{_closed_port()}"
    file = write_session(tmp_path, ticket_session(url, backoffLimit=0))
    ended = cascade("run", file, "--state", tmp_path / "state")
    _assert_told(
        ended, 69, [f"the embedding server at {url} does not answer", "Check that it runs"]
    )
    assert "PrepareFailed" in ended.text


@pytest.mark.faults
def test_after_an_outage_nothing_that_was_done_is_done_again(tmp_path):
    port = _closed_port()
    url = f"http://127.0.0.1:{port}"
    groups = {"include": [["classify"], ["classify", "decide"]]}
    file = write_session(tmp_path, ticket_session(url, groups=groups, backoffLimit=0))
    run = TicketRun(tmp_path / "state")
    command = ("run", file, "--state", run.state)
    with FakeModelServer(ticket_answers(), port=port) as server, start_cascade(*command) as first:
        first.until(lambda: run.group("00").get("phase") == "Succeeded")
        server.delay = 1.0  # the archive must be there before the search is over
        first.until(lambda: run.status["run"].get("archivedGroups") == ["00"])
        first.until(lambda: run.trials("tickets-r1-00-02") >= 1)
        server.fail("refuse", times=-1)
        answered = [str(body) for body in server.bodies]
        down = first.end()
    _assert_told(down, 69, [url])
    group = run.group("00_02")
    assert (run.status["phase"], group["phase"]) == ("Failed", "Failed")
    assert group["reason"] == "ServiceUnavailable"
    assert url in group["message"]
    assert set(run.archive().groups) >= {"00"}  # what was found is kept

    with FakeModelServer(ticket_answers(), port=port) as server:
        up = cascade(*command)
        asked = [str(body) for body in server.bodies]
    assert up.code == 0, up.text
    assert run.status["phase"] == "Complete"
    # The calls that the outage cut short are the only ones to come a second time.
    again = set(asked) & set(answered)
    assert len(again) <= 2
    assert asked


def _assert_told(ended, code, words):
    assert ended.code == code, ended.text
    shown = " ".join(ended.text.split())
    for word in words:
        assert word in shown
    assert "Traceback" not in shown
    assert "internal error" not in shown


def _closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
