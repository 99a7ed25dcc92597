"""The planner over a local cluster, to the end; workers do what a script says.

The session names its own servers, so no embedded one is started.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys

import pytest
import yaml

from cascade_operator.api.errors import DataError, ServiceUnavailable
from cascade_operator.api.exit_codes import ExitCode
from cascade_operator.api.status import GroupPhase, Phase
from cascade_operator.local.orphans import ProcessIdentity
from fakes.scripted_command import Command, session, worker_at

pytestmark = pytest.mark.process

GROUPS = ["00", "01", "00_01"]


@pytest.fixture
def command(tmp_path):
    return Command(tmp_path)


def test_a_session_runs_to_its_end(command):
    outcome = command.run()
    status = outcome.status
    assert outcome.exit_code is ExitCode.OK
    assert status.phase is Phase.COMPLETE
    assert [(g.name, g.phase, g.score) for g in status.groups] == [
        (name, GroupPhase.SUCCEEDED, "0.7500") for name in GROUPS
    ]
    assert outcome.session_id == status.run.session_id
    volume = command.folder / "state/volumes/cascade-archives"
    assert outcome.archives == (volume / "default/s/x_size01.tar.zst",)
    held = yaml.safe_load((command.folder / "state/sessions/triage/status.yaml").read_text())
    assert held["phase"] == "Complete"
    assert command.snapshots[-1].status == status


def test_the_lattice_comes_from_what_ended_before(command):
    command.run()
    (start,) = command.starts("group-00_01")
    arguments = start["arguments"]
    assert arguments[arguments.index("--lattice-parents") + 1] == "00,01"


def test_the_run_is_watched_while_it_goes_on(command):
    command.run()
    phases = {snapshot.status.phase for snapshot in command.snapshots}
    assert {Phase.PREPARING, Phase.TRAINING, Phase.ARCHIVING, Phase.COMPLETE} <= phases
    assert any(snapshot.jobs for snapshot in command.snapshots)


def test_a_complete_session_is_left_alone_until_it_changes(command):
    first = command.run()
    again = command.run()
    assert again.exit_code is ExitCode.OK
    assert (again.session_id, again.archives) == (first.session_id, first.archives)
    assert len(command.starts("prepare")) == 1
    changed = command.run(session(optimizer={"trials": 7}))
    assert changed.status.run.number == 2
    assert len(command.starts("prepare")) == 2


def test_a_complete_session_is_trained_again_when_asked(command):
    command.run()
    again = command.run(retrain=True)
    assert again.status.run.number == 2
    assert again.status.phase is Phase.COMPLETE
    assert command.run().status.run.number == 2
    assert command.run(retrain=True).status.run.number == 3


@pytest.mark.parametrize(
    ("script", "code", "started"),
    [
        pytest.param(
            {"prepare": [{"exit": 65, "message": {"kind": "failure", "exitCode": 65}}]},
            65,
            {"prepare": 2, "group-00": 1},
            id="prepare",
        ),
        pytest.param(
            {"group/00": [{"exit": 64, "message": {"kind": "failure", "exitCode": 64}}]},
            64,
            # The archive of what succeeded took the data out of Redis: prepare restores it.
            {"prepare": 2, "group-00": 2, "group-01": 1, "group-00_01": 1},
            id="group",
        ),
        pytest.param(
            {"archive": [{"exit": 73, "message": {"kind": "failure", "exitCode": 73}}]},
            73,
            {"prepare": 1, "group-00": 1, "group-01": 1, "group-00_01": 1},
            id="archive",
        ),
    ],
)
def test_a_failed_run_ends_as_its_worker_and_goes_on_where_it_failed(
    command, script, code, started
):
    command.script(script)
    outcome = command.run(session(backoffLimit=0))
    assert outcome.status.phase is Phase.FAILED
    assert outcome.exit_code == code
    command.script({"prepare": [{"message": {"kind": "prepare", "restoredGroups": GROUPS}}]})
    again = command.run(session(backoffLimit=0))
    assert again.exit_code is ExitCode.OK
    assert (again.status.run.number, again.session_id) == (1, outcome.session_id)
    assert [entry.phase for entry in again.status.history] == [Phase.COMPLETE]
    assert {name: len(command.starts(name)) for name in started} == started


@pytest.mark.parametrize("how", ["changed", "retrain"])
def test_a_failed_run_is_replaced_where_another_is_asked_for(command, how):
    failure = {"exit": 65, "message": {"kind": "failure", "exitCode": 65}}
    command.script({"prepare": [failure]})
    assert command.run().exit_code == 65
    command.script({})
    if how == "changed":
        again = command.run(session(optimizer={"trials": 7}))
    else:
        again = command.run(retrain=True)
    assert again.status.run.number == 2
    assert [entry.phase for entry in again.status.history] == [Phase.COMPLETE, Phase.FAILED]


def test_stopping_saves_and_the_same_command_resumes(command):
    command.script({"group/00": [{"hang": True}, {}]})
    stopped = command.run(stop_when=lambda _: command.hangs())
    assert stopped.exit_code is ExitCode.TERMINATED
    assert stopped.status.phase is Phase.TRAINING
    done = command.run()
    assert done.exit_code is ExitCode.OK
    assert done.session_id == stopped.session_id
    assert len(command.starts("prepare")) == 1
    attempts = [start["arguments"][3] for start in command.starts("group-00")]
    assert attempts == ["1", "1"]


@pytest.mark.parametrize("stage", ["prepare", "group/01", "archive"])
def test_stopping_in_any_stage_costs_no_attempt(command, stage):
    name = stage.replace("/", "-")
    command.script({stage: [{"hang": True}, {}]})
    stopped = command.run(stop_when=lambda _: command.hangs(name))
    assert stopped.exit_code is ExitCode.TERMINATED
    done = command.run()
    assert done.exit_code is ExitCode.OK
    assert done.session_id == stopped.session_id
    again = {other: len(command.starts(other)) for other in ("prepare", "group-00", "group-00_01")}
    assert again == {"prepare": 1, "group-00": 1, "group-00_01": 1} | (
        {"prepare": 2} if stage == "prepare" else {}
    )
    if stage == "archive":
        # The one that was stopped, the same one again, and the final one.
        assert len(command.starts(name)) == 3
    else:
        arguments = [start["arguments"] for start in command.starts(name)]
        assert [given[given.index("--attempt") + 1] for given in arguments] == ["1", "1"]


def test_a_second_command_is_refused_until_the_first_has_ended(command):
    """Also while the first is ending: its Jobs are still saving."""
    command.script({"group/00": [{"hang": True, "slow": 0.5}, {}]})
    refused = []

    async def both():
        stopping = asyncio.ensure_future(command._run(session(), False, lambda _: command.hangs()))
        while not stopping.done():
            if command.hangs():
                with pytest.raises(ServiceUnavailable) as caught:
                    await command._run(session(), False, None)
                refused.append(caught.value)
            await asyncio.sleep(0.02)
        return await stopping

    assert asyncio.run(both()).exit_code is ExitCode.TERMINATED
    assert len(refused) > 5
    assert f"in use by process {os.getpid()}" in str(refused[-1])
    assert "--state DIR" in refused[-1].mend
    assert command.run().exit_code is ExitCode.OK


def test_after_a_kill_no_group_has_two_workers_at_once(command):
    """The killed command's worker takes its time to leave: the next command waits for it."""
    command.script({"group/00": [{"hang": True, "slow": 1.0}, {}]})
    text = session().model_dump_json(by_alias=True)
    worker = json.dumps(worker_at(command.folder))
    arguments = [sys.executable, "-c", COMMAND, str(command.folder), worker, text]
    with subprocess.Popen(arguments) as killed:
        _wait(command.hangs)
        killed.send_signal(signal.SIGKILL)
    assert command.run().exit_code is ExitCode.OK
    first, second = command.starts("group-00")
    (left,) = command.ends("group-00")
    assert left["pid"] == first["pid"]
    assert left["at"] <= second["at"]


def test_stopping_before_anything_ran_is_fine(command):
    stopped = command.run(stop_when=lambda _: True)
    assert stopped.exit_code is ExitCode.TERMINATED
    assert command.run().exit_code is ExitCode.OK


def test_a_job_over_its_limit_gets_more_memory(command):
    command.script({"group/00": [{"allocate": 300 * 2**20, "hang": True}, {}]})
    outcome = command.run()
    assert outcome.exit_code is ExitCode.OK
    group = next(group for group in outcome.status.groups if group.name == "00")
    assert group.attempt == 2
    assert group.memory_limit == "384Mi"


COMMAND = """
import asyncio, json, sys
from pathlib import Path
from cascade_operator.api.session import TrainingSession
from cascade_operator.local.session_run import run_session

folder, worker = Path(sys.argv[1]), json.loads(sys.argv[2])
session = TrainingSession.model_validate_json(sys.argv[3])
asyncio.run(run_session(session, folder, folder / "state", on_update=lambda _: None,
                        stop=asyncio.Event(), retrain=False, worker=worker))
"""


def test_a_killed_command_leaves_nothing_running_and_is_resumed(command):
    command.script({"group/00": [{"hang": True}, {}]})
    text = session().model_dump_json(by_alias=True)
    worker = json.dumps(worker_at(command.folder))
    arguments = [sys.executable, "-c", COMMAND, str(command.folder), worker, text]
    with subprocess.Popen(arguments) as killed:
        _wait(command.hangs)
        pid = command.starts("group-00")[0]["pid"]
        with pytest.raises(ServiceUnavailable, match=f"in use by process {killed.pid}"):
            command.run()
        killed.send_signal(signal.SIGKILL)
    _wait(lambda: ProcessIdentity.of(pid) is None)
    held = yaml.safe_load((command.folder / "state/sessions/triage/status.yaml").read_text())
    assert held["phase"] == "Training"
    done = command.run()
    assert done.exit_code is ExitCode.OK
    assert done.session_id == held["run"]["sessionId"]
    assert len(command.starts("prepare")) == 1
    assert len(command.starts("group-00")) == 2


def _wait(condition):
    import time

    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_cancelling_kills_what_runs(command):
    command.script({"group/00": [{"hang": True, "terminated": 0}]})

    async def run():
        running = asyncio.ensure_future(command._run(session(), False, None))
        async with asyncio.timeout(60):
            while not command.hangs():
                await asyncio.sleep(0.02)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(run())
    pid = command.starts("group-00")[0]["pid"]
    assert ProcessIdentity.of(pid) is None
    command.script({})
    assert command.run().exit_code is ExitCode.OK


def test_a_trace_file_is_found_beside_the_session(command):
    with pytest.raises(DataError, match="is not there"):
        command.run(session(traces={"file": "data/traces.jsonl"}))
    (command.folder / "data").mkdir()
    (command.folder / "data/traces.jsonl").write_text("{}\n")
    assert command.run(session(traces={"file": "data/traces.jsonl"})).exit_code is ExitCode.OK
    environment = json.loads((command.folder / "prepare.environment").read_text())
    assert environment["CASCADE_TRACES_FILE"] == str(command.folder / "data/traces.jsonl")


def test_a_machines_limits_are_told(command):
    command.run(session(parallelism=63, schedule="0 3 * * *"))
    notes = " ".join(command.snapshots[-1].notes)
    assert "schedule" in notes
    assert "63" in notes
    assert "135 million" not in notes  # the session names its own model


def test_no_more_jobs_at_once_than_fit(command):
    command.run(session(parallelism=1))
    together = max(
        sum(job.finished is None for job in snapshot.jobs.values())
        for snapshot in command.snapshots
    )
    assert together == 1
    assert os.environ.get("CASCADE_CONFIG") is None
