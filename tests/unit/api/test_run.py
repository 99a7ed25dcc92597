import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cascade_operator.api.errors import CascadeError, DataError, ServiceUnavailable, SpecError
from cascade_operator.api.exit_codes import ExitCode
from cascade_operator.api.groups import select_groups
from cascade_operator.api.keys import RunKeys, cache_key, embedding_cache_key
from cascade_operator.api.resolve import Defaults, resolve
from cascade_operator.api.run import MAX_BYTES, RunConfig
from cascade_operator.api.session import TrainingSessionSpec
from cascade_operator.api.spec_hash import spec_hash
from cascade_operator.api.status import (
    Condition,
    GroupStatus,
    HistoryEntry,
    RunStatus,
    TrainingSessionStatus,
    format_score,
)

NOW = datetime(2026, 1, 1, 12, 30, 15, 999_999, tzinfo=UTC)


def _config(**changes):
    spec = TrainingSessionSpec.model_validate({"traces": {"import": "bfcl"}})
    fields = {
        "namespace": "default",
        "name": "triage",
        "uid": "uid-1",
        "run": 3,
        "session_id": "20260101T000000Z",
        "spec_hash": spec_hash(spec),
        "spec": resolve(spec, Defaults()),
        "groups": [group.key for group in select_groups(spec.cascade, spec.groups)],
    }
    return RunConfig(**fields | changes)


def test_a_runs_configuration_survives_its_text():
    config = _config()
    text = config.to_json()
    assert RunConfig.from_json(text) == config
    assert RunConfig.from_json(text.encode()).to_json() == text


def test_a_configuration_names_its_groups():
    config = _config()
    assert [group.key for group in config.node_groups()] == config.groups
    assert config.group("00_03").nodes == ("agent-00-autogen-bmad", "agent-30-dspy-execution")
    with pytest.raises(SpecError, match="no node group"):
        config.group("05")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"run": "3"}, "run: must be a whole number", id="type"),
        pytest.param({"version": 2}, "version", id="another version"),
        pytest.param({"groups": ["09"]}, "groups", id="position outside"),
        pytest.param({"groups": ["x"]}, "groups", id="no key"),
        pytest.param({"sessionId": "now"}, "sessionId", id="session id"),
        pytest.param({"surprise": 1}, "surprise", id="unknown field"),
    ],
)
def test_a_wrong_configuration_says_where(change, message):
    text = json.dumps(json.loads(_config().to_json()) | change)
    with pytest.raises(SpecError, match=message):
        RunConfig.from_json(text)


@pytest.mark.parametrize("text", [b"", b"[" * 9999, b"\xff", b" " * (MAX_BYTES + 1)])
def test_a_hostile_configuration_is_a_spec_error(text):
    with pytest.raises(SpecError):
        RunConfig.from_json(text)


def test_models_do_not_change_and_know_their_names():
    spec = TrainingSessionSpec.model_validate({"traces": {"import": "bfcl"}})
    with pytest.raises(ValidationError):
        spec.parallelism = 2
    assert spec.dump()["startDeadlineSeconds"] == 3600
    assert spec.dump()["traces"]["import"] == "bfcl"
    by_name = TrainingSessionSpec(traces=spec.traces, max_failed_groups=2)
    assert by_name.dump()["maxFailedGroups"] == 2


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "0.5000"), (1, "1.0000"), (-0.00001, "0.0000"), (-0.25, "-0.2500")]
)
def test_scores_have_four_decimals(value, text):
    assert format_score(value) == text


@given(st.floats(-1, 1))
def test_any_score_fits_the_status(value):
    text = format_score(value)
    assert GroupStatus(name="00", nodes=["a"], score=text).score == text


def test_times_are_whole_seconds_in_utc():
    elsewhere = NOW.astimezone(timezone(timedelta(hours=2)))
    status = TrainingSessionStatus(next_schedule_time=elsewhere)
    dumped = status.dump()
    assert dumped["nextScheduleTime"] == "2026-01-01T12:30:15Z"
    assert TrainingSessionStatus.model_validate(dumped) == status


def test_a_long_message_is_cut_where_a_write_would_fail():
    condition = Condition(
        type="Ready", status="False", reason="Preparing", message="x\x00" * 9999,
        last_transition_time=NOW,
    )  # fmt: skip
    assert len(condition.message) == 1024
    assert "\x00" not in condition.message


def test_a_status_of_another_version_can_be_read():
    assert (
        TrainingSessionStatus.model_validate({"phase": "Failed", "ofNextYear": 1}).phase == "Failed"
    )


def test_the_largest_status_stays_under_64_kib():
    groups = [
        GroupStatus(
            name="_".join(f"{p:02d}" for p in range(6) if n >> p & 1),
            nodes=[f"agent-{p}0-{'n' * 24}" for p in range(6) if n >> p & 1],
            phase="Failed", attempt=12, failures=4, job_name="j" * 63, start_time=NOW,
            retry_time=NOW, trials=1000, baseline="0.1234", score="0.1234", held_out="0.1234",
            baseline_held_out="0.1234", previous_best="0.1234", converged=True,
            reason="BackoffLimitExceeded", message="m" * 500, memory_limit="1536Mi",
            peak_memory="1234567890", lattice_parents=["00_01_02_03_04"] * 6,
        )
        for n in range(1, 64)
    ]  # fmt: skip
    run = RunStatus(number=9, session_id="s" * 16, spec_hash="h" * 19, start_time=NOW)
    entry = HistoryEntry(number=1, session_id="s" * 16, phase="Complete", completion_time=NOW)
    status = TrainingSessionStatus(groups=groups, run=run, history=[entry] * 10)
    assert len(json.dumps(status.dump(), ensure_ascii=False)) < 64 * 1024


def test_a_runs_keys_share_one_slot():
    keys = RunKeys("uid-1", 3)
    assert keys.prefix == "cascade:{uid-1}:3:"
    made = [
        keys.chunk("raw", 0), keys.chunk("raw", 1), keys.chunk("red", 0), keys.manifest(),
        keys.pool(), keys.checkpoint("00"), keys.result("00"), keys.progress("00"),
        keys.prepare_state(), keys.counter("calls"), keys.posterior("00"), keys.budget(),
    ]  # fmt: skip
    assert len(set(made)) == len(made)
    assert all(key.startswith(keys.prefix) for key in made)


def test_cache_keys_carry_the_namespace():
    assert cache_key("a", "d") != cache_key("b", "d")
    assert cache_key("a", "d") != embedding_cache_key("a", "d")


def test_errors_carry_an_exit_code_and_a_mend():
    assert DataError("x").exit_code is ExitCode.DATA
    error = ServiceUnavailable("down", mend="wait")
    assert (str(error), error.mend, int(error.exit_code)) == ("down", "wait", 69)
    assert CascadeError("x", code=ExitCode.SPEC).exit_code == 64
