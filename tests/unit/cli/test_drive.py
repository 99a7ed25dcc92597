"""A run that a reader watches and stops."""

import asyncio
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cascade_operator.api.errors import ServiceUnavailable
from cascade_operator.api.exit_codes import ExitCode
from cascade_operator.api.session import TrainingSession
from cascade_operator.api.status import Phase, RunStatus, TrainingSessionStatus
from cascade_operator.cli.drive import drive
from cascade_operator.local.session_run import RunOutcome, RunSnapshot

SESSION = TrainingSession.model_validate(
    {"metadata": {"name": "tool-calls"}, "spec": {"traces": {"file": "traces.jsonl"}}}
)


@pytest.fixture(autouse=True)
def _a_terminal_that_can_be_closed():
    """Whoever runs the tests with ``nohup`` has them ignore what they are about."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


class Reader:
    """Records what a view is told."""

    def __init__(self):
        self.told = []
        self.notes = ()

    def start(self):
        self.told.append("start")

    def update(self, view):
        self.told.append(view.phase)
        self.notes = view.notes

    def tick(self, view):
        self.told.append("tick")

    def stopping(self):
        self.told.append("stopping")

    def stop(self):
        self.told.append("stop")


def status(phase, completed=None):
    run = RunStatus(
        number=1,
        session_id="20261123T203100Z",
        spec_hash="v1-0123456789abcdef",
        start_time=datetime(2026, 11, 23, 20, 31, tzinfo=UTC),
        completion_time=completed,
    )
    return TrainingSessionStatus(phase=phase, run=run)


def outcome(phase, code, completed=None):
    return RunOutcome(status(phase, completed), code, (), "20261123T203100Z")


def run_with(runner, view=None):
    return asyncio.run(
        drive(
            runner,
            SESSION,
            base=Path("/base"),
            state=Path("/state"),
            view=view or Reader(),
            retrain=True,
        )
    )


def test_each_look_reaches_the_view_and_the_arguments_the_runner():
    seen = {}

    async def runner(session, base, state, *, on_update, stop, retrain):
        seen.update(name=session.metadata.name, base=base, state=state, retrain=retrain)
        on_update(RunSnapshot(status(Phase.PREPARING), {}, {}, ("a note",)))
        on_update(RunSnapshot(status(Phase.TRAINING), {}, {}, ("a note",)))
        return outcome(Phase.COMPLETE, ExitCode.OK, datetime.now(UTC))

    view = Reader()
    ended = run_with(runner, view)
    assert view.told == ["start", "Preparing", "Training", "stop"]
    assert seen == {
        "name": "tool-calls",
        "base": Path("/base"),
        "state": Path("/state"),
        "retrain": True,
    }
    assert (ended.last.phase, ended.last.notes) == ("Complete", ("a note",))
    assert ended.outcome.exit_code == 0
    assert not ended.nothing_to_do


def test_a_run_that_was_complete_before_is_told_from_a_new_one():
    async def runner(*_, **__):
        return outcome(Phase.COMPLETE, ExitCode.OK, datetime.now(UTC) - timedelta(minutes=5))

    assert run_with(runner).nothing_to_do


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_asks_for_checkpoints(number):
    async def runner(*_, stop, **__):
        os.kill(os.getpid(), number)
        await stop.wait()
        return outcome(Phase.SUSPENDED, ExitCode.TERMINATED)

    view = Reader()
    ended = run_with(runner, view)
    assert view.told == ["start", "stopping", "stop"]
    assert ended.outcome.exit_code == 143


def test_under_nohup_a_closed_terminal_is_no_reason_to_stop():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:

        async def runner(*_, stop, **__):
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.sleep(0)
            assert not stop.is_set()
            return outcome(Phase.COMPLETE, ExitCode.OK)

        assert run_with(runner).outcome.exit_code == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_ends_the_run_at_once(first, second):
    async def runner(*_, stop, **__):
        os.kill(os.getpid(), first)
        await stop.wait()
        os.kill(os.getpid(), second)
        await asyncio.Event().wait()

    view = Reader()
    with pytest.raises(asyncio.CancelledError):
        run_with(runner, view)
    assert view.told[-1] == "stop"


def test_after_the_run_ctrl_c_is_the_interpreter_s_again():
    async def runner(*_, **__):
        return outcome(Phase.COMPLETE, ExitCode.OK)

    run_with(runner)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_of_the_run_leaves_the_terminal_as_it_was():
    async def runner(*_, **__):
        raise ServiceUnavailable("the model server did not start")

    view = Reader()
    with pytest.raises(ServiceUnavailable):
        run_with(runner, view)
    assert view.told == ["start", "stop"]


def test_time_goes_on_while_nothing_comes(monkeypatch):
    monkeypatch.setattr("cascade_operator.cli.drive.TICK_SECONDS", 0.001)
    view = Reader()

    async def runner(*_, on_update, **__):
        on_update(RunSnapshot(status(Phase.TRAINING), {}, {}, ()))
        while view.told.count("tick") < 3:
            await asyncio.sleep(0.001)
        return outcome(Phase.COMPLETE, ExitCode.OK)

    run_with(runner, view)
    assert view.told.count("tick") >= 3
