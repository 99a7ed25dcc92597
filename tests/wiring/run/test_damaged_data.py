"""What lies in Redis or on the archives' volume is cut or replaced under a whole run."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from cascade_operator.api.keys import RunKeys
from fakes.cascade_cli import cascade, start_cascade
from fakes.ticket_runs import KEYS, TicketRun, findings

pytestmark = [pytest.mark.process, pytest.mark.faults]


def _client(run: TicketRun) -> redis.Redis:
    """The embedded Redis of a run that goes on."""
    (socket,) = (run.state / "redis").glob("*.sock")
    return redis.Redis(unix_socket_path=str(socket.resolve()))


def _halve(client: redis.Redis, key: str) -> None:
    value = client.get(key)
    assert value, f"{key} is not there"
    client.set(key, value[: len(value) // 2])


@pytest.mark.parametrize("what", ["pool", "chunk"])
def test_data_that_was_cut_in_redis_is_prepared_again(
    undisturbed, server, tmp_path: Path, what: str
):
    run = undisturbed.run.copied_to(tmp_path / "state")
    command = ("run", undisturbed.session, "--state", run.state, "--retrain")
    with start_cascade(*command) as started:
        started.until(lambda: run.status["run"]["number"] == 2 and run.prepared())
        client = _client(run)
        prefix = next(key for key in client.scan_iter("*:2:pool")).decode().removesuffix("2:pool")
        keys = RunKeys(prefix.removeprefix("cascade:{").removesuffix("}:"), 2)
        _halve(client, keys.pool() if what == "pool" else keys.chunk("text", 0))
        ended = started.end()
    assert ended.code == 0, ended.text
    assert run.status["phase"] == "Complete"
    # Some group met the damage, said which key it is, and was not counted as having failed.
    logs = run.logs()
    named = "pool in Redis is damaged" if what == "pool" else "chunk:text:0: it is damaged"
    assert any(named in text for job, text in logs.items() if "prepare" not in job)
    assert run.status["run"]["prepare"]["attempt"] == 2
    assert "internal error" not in ended.text
    assert set(run.archive().groups) == set(KEYS)
    assert all(run.group(key)["phase"] == "Succeeded" for key in KEYS)


def test_a_damaged_archive_among_good_ones_is_named_to_the_user_and_not_used(
    retrained, undisturbed, tmp_path: Path
):
    run = retrained.run.copied_to(tmp_path / "state")
    newest = run.session_id
    for file in run.archive_files(newest):
        file.write_bytes(file.read_bytes()[:-40])
        verified = cascade("archive", "verify", file)
        assert verified.code == 65
        assert "ends early: the file is truncated" in verified.text
    ended = cascade("run", undisturbed.session, "--state", run.state, "--retrain")
    assert ended.code == 0, ended.text
    assert run.status["run"]["warmStartedFrom"] == retrained.first.session_id
    assert f"archive of {newest} left out" in " ".join(ended.text.split())
    # It began where the damaged run had begun, with the same answers.
    assert findings(run.archive()) == findings(retrained.run.archive(newest))
