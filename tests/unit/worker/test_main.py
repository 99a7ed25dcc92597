"""How a worker leaves: an exit code and a termination message for everything that can happen."""

from __future__ import annotations

import logging
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cascade_operator.api.errors import (
    ArchiveWriteError,
    CascadeError,
    DataError,
    MemoryGateReached,
    RunDataGone,
    ServiceUnavailable,
    SpecError,
    Terminated,
)
from cascade_operator.api.records import MAX_MESSAGE_BYTES, Failure, PrepareResult, decode_message
from cascade_operator.api.status import StopReason
from cascade_operator.training.calls.budget import BudgetExceeded
from cascade_operator.worker.main import run_job
from cascade_operator.worker.stop import StopSignal
from fakes.worker_jobs import job_environment


@pytest.fixture
def env(tmp_path, valkey_socket, redis_client):
    return job_environment(tmp_path, f"unix://{valkey_socket}")


def _raises(error):
    def job(_context):
        raise error

    return job


def _message(env):
    return decode_message(Path(env["CASCADE_TERMINATION_LOG"]).read_bytes())


def test_a_job_that_ends_well_leaves_its_result(env):
    result = PrepareResult(records=7, candidates={"plan": 3})
    assert run_job(lambda _: result, env, StopSignal()) == 0
    assert _message(env) == result


@pytest.mark.parametrize(
    ("kind", "code", "reason"),
    [
        (SpecError, 64, "InvalidSpec"),
        (DataError, 65, "InvalidData"),
        (RunDataGone, 66, "RunDataGone"),
        (ServiceUnavailable, 69, "ServiceUnavailable"),
        (CascadeError, 70, "Error"),
        (partial(BudgetExceeded, StopReason.CALL_BUDGET), 70, "BudgetExceeded"),
        (ArchiveWriteError, 73, "ArchiveWriteFailed"),
        (MemoryGateReached, 75, "MemoryGate"),
        (Terminated, 143, "Terminated"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_each_failure_has_its_code_and_says_what_to_do(env, caplog, kind, code, reason):
    error = kind("it is so")
    error.mend = "do that"
    job = _raises(error)
    with caplog.at_level(logging.ERROR):
        assert run_job(job, env, StopSignal()) == code
    message = _message(env)
    assert (message.exit_code, message.reason) == (code, reason)
    assert (message.message, message.mend) == ("it is so", "do that")
    assert "it is so (do that)" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_fault_of_ours_is_tried_again_and_its_trace_is_in_the_log(env, caplog):
    with caplog.at_level(logging.ERROR):
        assert run_job(_raises(ZeroDivisionError("oh")), env, StopSignal()) == 70
    assert _message(env) == Failure(
        exit_code=70, message="ZeroDivisionError: oh", mend="see the Job's log"
    )
    assert "Traceback" in caplog.text


def test_a_failure_tells_the_peak_of_memory(env):
    def job(context):
        context.memory.sample()
        raise MemoryGateReached("full")

    assert run_job(job, env, StopSignal()) == 75
    assert _message(env).peak_memory > 1 << 20


def test_a_job_that_cannot_begin_says_so_too(env):
    env["CASCADE_CONFIG"] += ".missing"
    assert run_job(_raises(AssertionError("not reached")), env, StopSignal()) == 64
    message = _message(env)
    assert "01_architecture_config.json.missing cannot be read" in message.message
    assert "CASCADE_CONFIG" in message.mend


def test_a_message_that_cannot_be_written_changes_no_code(env, caplog):
    env["CASCADE_TERMINATION_LOG"] = "/nonexistent/log"
    with caplog.at_level(logging.WARNING):
        assert run_job(lambda _: PrepareResult(), env, StopSignal()) == 0
        assert run_job(_raises(DataError("bad")), env, StopSignal()) == 65
    assert caplog.text.count("no termination message") == 2


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.text(st.characters(), max_size=40), st.integers(1, 500), st.booleans())
def test_whatever_an_error_says_its_message_can_be_read(env, text, times, ours):
    kind = DataError if ours else ValueError
    assert run_job(_raises(kind(text * times)), env, StopSignal()) == (65 if ours else 70)
    written = Path(env["CASCADE_TERMINATION_LOG"]).read_bytes()
    assert len(written) <= MAX_MESSAGE_BYTES
    assert isinstance(decode_message(written), Failure)


@pytest.mark.process
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["group", "--group", "00"], 64, "configuration"),
        (["group"], 2, "--group"),
        (["archive", "--kind", "other"], 2, "progressive"),
        ([], 2, "job"),
    ],
    ids=["no-configuration", "no-group", "unknown-kind", "no-job"],
)
def test_the_command_ends_with_the_jobs_code(tmp_path, arguments, code, words):
    done = subprocess.run(
        [sys.executable, "-m", "cascade_operator.worker.main", *arguments],
        env={
            "CASCADE_CONFIG": str(tmp_path / "none.json"),
            "CASCADE_TERMINATION_LOG": str(tmp_path / "log"),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
