"""``kubectl cascade`` against real sessions, as a user with a terminal, a pipe or few rights."""

from __future__ import annotations

import os
import subprocess

import pytest

from api.cascade_plugin import PROGRAM, Ended, Plugin
from api.control_plane import ControlPlane
from api.invariants import assert_whole
from api.kubeconfig import write_kubeconfig
from api.ports import free_ports
from api.rest import wait_for
from api.session_bed import Session, SessionBed

ESCAPE = "\x1b"
SESSIONS = {"apiGroups": ["cascade-operator.dev"], "resources": ["trainingsessions"]}
READ = [{**SESSIONS, "verbs": ["get"]}]


@pytest.fixture(scope="module")
def team(bed: SessionBed) -> str:
    return bed.namespace()


@pytest.fixture(scope="module")
def cascade(control_plane: ControlPlane, team: str, tmp_path_factory: pytest.TempPathFactory):
    """The plugin as the administrator, whose context names the team's namespace."""
    file = tmp_path_factory.mktemp("user") / "kubeconfig"
    return Plugin(control_plane.write_admin_kubeconfig(file, team))


@pytest.fixture(scope="module")
def sessions(bed: SessionBed, team: str) -> dict[str, Session]:
    """One that is complete, one that failed, one that trains; and another team's."""
    made = {
        "triage": bed.session(team, name="triage"),
        "broken": bed.session(team, name="broken", play={"outcome.prepare": "fail-65"}),
        "steady": bed.session(team, name="steady", play={"outcome.00": "hold"}),
        "elsewhere": bed.session(name="elsewhere"),
    }
    for name in ("triage", "elsewhere"):
        made[name].wait_phase("Complete")
    made["broken"].wait_phase("Failed")
    made["steady"].wait("a group is trained", lambda s: s.get("groupsSucceeded") == 1)
    return made


def assert_clean(ended: Ended, code: int) -> None:
    """It ended as it should, and told nothing that only its makers understand."""
    assert ended.code == code, ended
    for text in (ended.output, ended.errors):
        assert "Traceback" not in text
        assert "internal error" not in text


def test_status_tells_all_of_a_finished_session(cascade, sessions, team):
    session = sessions["triage"]
    wait_for("its events", lambda: "RunComplete" in session.reasons())
    ended = cascade("status", "triage")
    assert_clean(ended, 0)
    for words in ("Complete", f"namespace {team}", "00_01", "RunComplete", "best group", " ago"):
        assert words in ended.output, words
    assert ESCAPE not in ended.output
    assert ended.errors == ""


def test_kubectl_itself_finds_it(cascade, sessions, programs):
    paths = os.pathsep.join([str(PROGRAM.parent), os.environ["PATH"]])
    done = subprocess.run(
        [programs["kubectl"], "cascade", "status", "triage"],
        env={**os.environ, "PATH": paths, "KUBECONFIG": str(cascade.kubeconfig)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "Complete" in done.stdout


def test_top_of_a_namespace_and_of_all(cascade, sessions, team):
    ended = cascade("top")
    assert_clean(ended, 0)
    rows = {line.split()[0]: line for line in ended.output.splitlines() if line.strip()}
    assert {"triage", "broken", "steady"} <= rows.keys()
    assert "elsewhere" not in rows
    assert rows["steady"].split()[1:4] == ["Training", "1/3", "1"]
    assert ESCAPE not in ended.output
    every = cascade("top", "-A")
    assert_clean(every, 0)
    for session in sessions.values():
        assert any(
            line.split()[:2] == [session.namespace, session.name]
            for line in every.output.splitlines()
        ), session.name
    other = cascade("top", "-n", sessions["elsewhere"].namespace)
    assert "1 session, 0 at work" in other.output


@pytest.mark.parametrize(("name", "code"), [("triage", 0), ("broken", 1)])
def test_watching_what_has_ended_ends_at_once(cascade, sessions, name, code):
    ended = cascade("status", name, "-w")
    assert_clean(ended, code)
    assert ESCAPE not in ended.output


@pytest.mark.parametrize("terminal", [False, True], ids=["in a pipe", "on a terminal"])
def test_ctrl_c_ends_a_watch_without_a_word(cascade, sessions, terminal):
    with cascade.running("status", "steady", "-w", terminal=terminal) as command:
        command.read_until("raining")
        ended = command.interrupt()
    assert_clean(ended, 130)
    assert ended.errors == ""
    assert (ESCAPE in ended.output) is terminal, "only a terminal is driven"
    assert sessions["steady"].status()["phase"] == "Training"


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("status", "triage"), id="status"),
        pytest.param(("status", "triage", "-w"), id="watch"),
        pytest.param(("top", "-A"), id="top"),
    ],
)
def test_a_reader_that_is_gone_ends_it_without_a_word(cascade, sessions, arguments):
    ended = cascade.into_a_closed_pipe(*arguments)
    assert "Traceback" not in ended.errors
    assert ended.errors == ""
    assert ended.code in (0, 1)


@pytest.mark.parametrize("command", ["status", "suspend"])
def test_an_unknown_name_says_which_was_meant(cascade, sessions, command):
    ended = cascade(command, "triaje")
    assert_clean(ended, 64)
    assert "did you mean triage?" in ended.errors


def test_a_name_of_another_namespace_says_where_it_is(cascade, sessions):
    ended = cascade("status", "elsewhere")
    assert_clean(ended, 64)
    assert f"-n {sessions['elsewhere'].namespace}" in ended.errors


@pytest.fixture
def few(service_account, namespace, bed):
    """A user who may read one session's own data, and nothing else; and that session."""
    session = bed.session(namespace, name="guarded", suspend=True)
    return session, Plugin(service_account("reader", namespace_rules=READ))


def test_without_rights_it_says_which_to_ask_for(few, service_account):
    _, reader = few
    nobody = Plugin(service_account("nobody"))
    for arguments in (("status", "guarded", "-w"), ("top", "-A")):
        ended = nobody(*arguments)
        assert_clean(ended, 69)
        assert "forbidden" in ended.errors
        assert "ask for a role with get, list and watch" in ended.errors
    ended = reader("suspend", "guarded")
    assert_clean(ended, 69)
    assert "patch to retrain or suspend" in ended.errors


def test_events_that_may_not_be_read_cost_a_note(few):
    session, reader = few
    session.wait_reason("Suspended")
    ended = reader("status", "guarded")
    assert_clean(ended, 0)
    assert "Suspended" in ended.output
    assert "its events cannot be read" in ended.output


def test_an_absent_server_is_named(control_plane, tmp_path):
    (port,) = free_ports(1)
    file = tmp_path / "kubeconfig"
    authority = tmp_path / "ca.crt"
    authority.write_bytes(control_plane.authority_pem)
    write_kubeconfig(file, f"https://127.0.0.1:{port}", authority, token="none", namespace="team")
    ended = Plugin(file)("top")
    assert_clean(ended, 69)
    assert f"127.0.0.1:{port}" in ended.errors
    assert "check that the cluster runs" in ended.errors


def test_a_cluster_without_the_kind_says_how_to_install_it(programs, tmp_path):
    plane = ControlPlane(programs, tmp_path)
    try:
        plane.etcd.start()
        plane.apiserver.start()
        user = Plugin(plane.write_admin_kubeconfig(tmp_path / "kubeconfig", "default"))
        for arguments in (("top",), ("suspend", "triage")):
            ended = user(*arguments)
            assert_clean(ended, 64)
            assert "does not know the kind TrainingSession" in ended.errors
            assert "cascade crd" in ended.errors
    finally:
        plane.stop(keep_logs=True)


def test_what_is_changed_happens_and_a_watch_tells_it_to_its_end(cascade, sessions):
    session = sessions["steady"]
    with cascade.running("status", "steady", "-w") as command:
        command.read_until("training")
        assert_clean(cascade("suspend", "steady"), 0)
        command.read_until("suspended")
        session.wait_phase("Suspended")
        session.patch(jobTemplate={"metadata": {"annotations": None}})
        assert_clean(cascade("resume", "steady"), 0)
        ended = command.finish()
    assert_clean(ended, 0)
    assert ESCAPE not in ended.output
    assert "complete" in ended.output.splitlines()[-1]
    assert_whole(session, made_again=("00", "01"))

    asked = cascade("retrain", "triage", "--reason", "new traces")
    assert_clean(asked, 0)
    with cascade.running("status", "triage", "-w") as command:
        ended = command.finish()
    assert_clean(ended, 0)
    status = assert_whole(sessions["triage"], run=2)
    assert status["lastRetrainRequest"].endswith(" new traces")
