"""What follows from how a worker ended."""

import pytest

from cascade_operator.api.exit_codes import ExitCode
from cascade_operator.control.domain.policies.retry import (
    Verdict,
    backoff_seconds,
    judge,
    out_of_retries,
)


@pytest.mark.parametrize(
    ("exit_code", "reason", "verdict"),
    [
        pytest.param(ExitCode.SPEC, "Error", Verdict.FAIL, id="64 bad spec"),
        pytest.param(ExitCode.DATA, "Error", Verdict.FAIL, id="65 bad data"),
        pytest.param(ExitCode.RUN_DATA_GONE, "Error", Verdict.PREPARE_AGAIN, id="66 data gone"),
        pytest.param(ExitCode.UNAVAILABLE, "Error", Verdict.RETRY, id="69 service unavailable"),
        pytest.param(ExitCode.SOFTWARE, "Error", Verdict.RETRY, id="70 our bug"),
        pytest.param(ExitCode.ARCHIVE_WRITE, "Error", Verdict.RETRY, id="73 cannot write"),
        pytest.param(ExitCode.MEMORY_GATE, "Error", Verdict.MORE_MEMORY, id="75 memory gate"),
        pytest.param(ExitCode.TERMINATED, "Error", Verdict.RESUME, id="143 told to stop"),
        pytest.param(137, "OOMKilled", Verdict.MORE_MEMORY, id="the kernel killed it"),
        pytest.param(137, "Error", Verdict.RETRY, id="a bare 137 proves nothing"),
        pytest.param(1, "OOMKilled", Verdict.MORE_MEMORY, id="a child of it was killed"),
        pytest.param(None, "DeadlineExceeded", Verdict.RETRY, id="no container ended"),
        pytest.param(143, "DeadlineExceeded", Verdict.RETRY, id="the Job's deadline stopped it"),
        pytest.param(None, "BackoffLimitExceeded", Verdict.RETRY, id="its pod is gone"),
        pytest.param(70, "BackoffLimitExceeded", Verdict.RETRY, id="the worker's own code counts"),
        pytest.param(64, "PodFailurePolicy", Verdict.FAIL, id="a policy of the pod's"),
        pytest.param(None, "Evicted", Verdict.RESUME, id="evicted"),
        pytest.param(137, "Evicted", Verdict.RESUME, id="evicted and killed"),
        pytest.param(75, "Evicted", Verdict.MORE_MEMORY, id="evicted as it left by itself"),
        pytest.param(None, "NodeLost", Verdict.RESUME, id="its node is lost"),
        pytest.param(None, "OutOfmemory", Verdict.RESUME, id="turned away by the node"),
        pytest.param(None, "", Verdict.RETRY, id="no code and no reason"),
        pytest.param(0, "", Verdict.RETRY, id="a failed Job whose worker says 0"),
        pytest.param(-1, "Error", Verdict.RETRY, id="an unknown code"),
    ],
)
def test_judge(exit_code, reason, verdict):
    assert judge(exit_code, reason) is verdict


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(0, 30), (1, 30), (2, 60), (3, 120), (5, 480), (6, 600), (9999, 600)],
)
def test_backoff_doubles_from_half_a_minute_to_ten_minutes(failures, seconds):
    assert backoff_seconds(failures) == seconds


@pytest.mark.parametrize(
    ("failures", "limit", "out"),
    [
        pytest.param(1, 0, True, id="no retry wanted"),
        pytest.param(1, 1, False, id="one retry left"),
        pytest.param(3, 3, False, id="the last retry"),
        pytest.param(4, 3, True, id="used up"),
    ],
)
def test_the_limit_counts_retries_as_in_a_job(failures, limit, out):
    assert out_of_retries(failures, limit) is out
