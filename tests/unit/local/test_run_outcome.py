from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from cascade_operator.api.exit_codes import ExitCode
from cascade_operator.api.session import TrainingSession
from cascade_operator.api.status import Condition, Phase, RunStatus, TrainingSessionStatus
from cascade_operator.control.domain.model import JobState, JobView, SessionView
from cascade_operator.control.manifests.labels import RETRAIN_ANNOTATION, RUN, STAGE
from cascade_operator.local.outcome import exit_code_of, is_settled, stalled_error
from cascade_operator.local.session_setup import annotations_for, fit_to_machine, with_spec
from cascade_operator.local.session_store import StoredSession
from cascade_operator.local.state import StateFolder

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SESSION = TrainingSession.model_validate(
    {
        "metadata": {"name": "triage"},
        "spec": {"traces": {"persistentVolumeClaim": {"claimName": "traces"}}},
    }
)


def _status(phase=Phase.COMPLETE, *, done=True, reason="", kind="Stalled", last=""):
    run = RunStatus(
        number=2,
        session_id="20260101T000000Z",
        spec_hash="v1-0",
        start_time=NOW,
        completion_time=NOW if done else None,
    )
    conditions = []
    if reason:
        conditions.append(
            Condition(type=kind, status="True", reason=reason, last_transition_time=NOW)
        )
    return TrainingSessionStatus(
        observed_generation=3,
        phase=phase,
        run=run,
        conditions=conditions,
        last_retrain_request=last,
    )


def _view(status, *, annotations=None, suspend=False, generation=3):
    return SessionView(
        name="triage",
        namespace="default",
        uid="u",
        generation=generation,
        spec=with_spec(SESSION, suspend=suspend).spec,
        problems=(),
        status=status,
        annotations=annotations or {},
    )


@pytest.mark.parametrize(
    ("view", "settled"),
    [
        (_view(_status()), True),
        (_view(_status(Phase.FAILED)), True),
        (_view(_status(Phase.TRAINING, done=False)), False),
        (_view(_status(), generation=4), False),
        (_view(_status(), annotations={RETRAIN_ANNOTATION: "now"}), False),
        (_view(_status(last="now"), annotations={RETRAIN_ANNOTATION: "now"}), True),
        (_view(_status(Phase.SUSPENDED, done=False), suspend=True), True),
        (_view(_status(Phase.SUSPENDED, done=False)), False),
        (_view(TrainingSessionStatus()), False),
    ],
    ids=[
        "complete",
        "failed",
        "training",
        "spec-changed",
        "retrain-asked",
        "retrain-done",
        "suspended",
        "to-be-resumed",
        "new",
    ],
)
def test_when_there_is_nothing_left_to_plan(view, settled):
    assert is_settled(view) is settled


def _job(name, code, *, stage="group", run=2, minutes=0):
    return JobView(
        name=name,
        labels={RUN: str(run), STAGE: stage},
        state=JobState.FAILED if code else JobState.SUCCEEDED,
        finished=NOW + timedelta(minutes=minutes),
        exit_code=code,
    )


@pytest.mark.parametrize(
    ("status", "jobs", "stopped", "code"),
    [
        (_status(), [_job("a", 70)], False, ExitCode.OK),
        (_status(), [], True, ExitCode.OK),
        (_status(Phase.TRAINING, done=False), [], True, ExitCode.TERMINATED),
        (_status(Phase.SUSPENDED, done=False), [], False, ExitCode.OK),
        (
            _status(Phase.FAILED, reason="PrepareFailed"),
            [_job("a", 65, stage="prepare"), _job("b", 70, run=1, minutes=5)],
            False,
            ExitCode.DATA,
        ),
        (
            _status(Phase.FAILED, reason="GroupsFailed", kind="Failed"),
            [_job("a", 69), _job("b", 64, minutes=1), _job("c", 73, stage="archive", minutes=2)],
            True,
            ExitCode.SPEC,
        ),
        (_status(Phase.FAILED, reason="GroupsFailed"), [_job("a", 137)], 0, ExitCode.MEMORY_GATE),
        (_status(Phase.FAILED, reason="GroupsFailed"), [_job("a", 1)], 0, ExitCode.SOFTWARE),
        (_status(Phase.FAILED), [_job("a", 0)], False, ExitCode.SOFTWARE),
    ],
    ids=[
        "complete-after-retries",
        "complete-although-stopped",
        "stopped",
        "suspended",
        "prepare-failed",
        "last-failed-of-the-stage",
        "out-of-memory",
        "unknown-code",
        "no-failed-job-known",
    ],
)
def test_a_command_ends_as_the_worker_that_failed(status, jobs, stopped, code):
    assert exit_code_of(status, {job.name: job for job in jobs}, stopped=bool(stopped)) is code


def test_a_stalled_session_is_an_error_unless_its_run_failed():
    assert stalled_error(_status(Phase.FAILED, reason="GroupsFailed")) is None
    assert stalled_error(_status()) is None
    error = stalled_error(_status(Phase.PENDING, done=False, reason="InvalidSpec"))
    assert error is not None
    assert error.exit_code is ExitCode.SPEC


@pytest.fixture
def stored(tmp_path):
    return StoredSession.open(StateFolder.at(tmp_path), SESSION)


@pytest.mark.parametrize(
    ("phase", "done", "retrain", "written", "last", "expected"),
    [
        (Phase.COMPLETE, True, False, "", "", None),
        (Phase.COMPLETE, True, False, "", "2025", "2025"),
        (Phase.COMPLETE, True, True, "", "2025", "new"),
        (Phase.FAILED, True, False, "", "2025", "2025"),
        (Phase.FAILED, True, True, "", "2025", "new"),
        (Phase.TRAINING, False, True, "", "2025", "2025"),
        (Phase.COMPLETE, True, False, "v2", "v1", "v2"),
        (Phase.COMPLETE, True, False, "v2", "v2", "v2"),
        (Phase.COMPLETE, True, False, "v2", "v2 2025", "v2 2025"),
    ],
    ids=[
        "never-asked",
        "asked-before",
        "asked",
        "failed",
        "failed-and-asked",
        "resumed",
        "file-asks",
        "file-asked",
        "file-asked-then-command",
    ],
)
def test_a_new_run_is_asked_for_once(stored, phase, done, retrain, written, last, expected):
    stored.status = _status(phase, done=done, last=last)
    stored.annotations = {"mine": "kept"} | ({RETRAIN_ANNOTATION: written} if written else {})
    found = annotations_for(stored, retrain=retrain)
    assert found["mine"] == "kept"
    value = found.get(RETRAIN_ANNOTATION)
    if expected == "new":
        assert value
        assert value not in (last, written)
    else:
        assert value == expected


def test_a_changed_spec_is_a_new_generation_of_the_same_session(tmp_path):
    state = StateFolder.at(tmp_path)
    first = StoredSession.open(state, SESSION)
    same = StoredSession.open(state, SESSION)
    changed = StoredSession.open(state, with_spec(SESSION, parallelism=2))
    assert (first.generation, same.generation, changed.generation) == (1, 1, 2)
    assert first.uid == same.uid == changed.uid


def test_what_lies_in_a_namesakes_folder_is_not_taken_over(tmp_path):
    state = StateFolder.at(tmp_path)
    first = StoredSession.open(state, SESSION)
    first.write_status(first.view(), _status())
    (state.jobs("triage") / "old.json").write_text("{}")
    state.session_file("triage").unlink()
    second = StoredSession.open(state, SESSION)
    assert second.uid != first.uid
    assert second.status == TrainingSessionStatus()
    assert not list(state.jobs("triage").iterdir())


def test_fitting_a_session_to_a_machine_tells_only_what_its_user_asked_for(stored):
    notes = fit_to_machine(stored)
    assert not any("at once" in note for note in notes)
    assert any("135 million" in note for note in notes)
    stored.session = with_spec(SESSION, schedule="0 3 * * *", queue_name="team")
    assert any("schedule" in note for note in fit_to_machine(stored))
    fitted = stored.session.spec
    assert (fitted.schedule, fitted.queue_name) == ("", "")
    assert replace(stored.view()).spec is fitted
