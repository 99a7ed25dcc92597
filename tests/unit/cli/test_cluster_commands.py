"""The commands for a cluster, with the real client, against a small API server."""

import asyncio
import copy
import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from typer.testing import CliRunner

from cascade_operator.cli.cluster.sessions import watch_session
from cascade_operator.cli.cluster.top_rows import top_rows
from cascade_operator.cli.kubectl import PROGRAM, app
from cascade_operator.control.kube.api import KubeApi
from cascade_operator.control.manifests.labels import RETRAIN_ANNOTATION
from fakes.session_api import SessionApi
from fakes.session_states import STATES


@pytest.fixture
def api():
    with SessionApi() as server:
        yield server


@pytest.fixture
def cluster(api, tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path)))
    return api


def run(*arguments):
    return CliRunner().invoke(app, list(arguments), prog_name=PROGRAM)


def test_status_shows_figures_history_and_events(cluster):
    raw = STATES["complete with failures"].raw()
    cluster.put(raw, told=False)
    cluster.events.append({"type": "Warning", "reason": "Odd", "message": "\x1b[2J[red]x[/red]"})
    found = run("status", "triage")
    assert found.exit_code == 0
    for words in ("Complete: 2 of 3", "n0+n1", "best group n0+n1", "size01.tar.zst", "SpecChanged"):
        assert words in found.stdout
    assert "\\x1b[2J[red]x[/red]" in found.stdout
    assert "\x1b" not in found.stdout


@pytest.mark.parametrize(("form", "load"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_status_as_a_document_is_the_object(cluster, form, load):
    raw = STATES["prepared"].raw()
    cluster.put(raw, told=False)
    assert load(run("status", "triage", "-o", form).stdout) == raw


@pytest.mark.parametrize(
    ("arguments", "change", "code", "words"),
    [
        pytest.param(["triaje"], {}, 64, "did you mean triage?", id="misspelt"),
        pytest.param(["triage", "-n", "other"], {}, 64, "-n team", id="another namespace"),
        pytest.param(["triage"], {"installed": False}, 64, "does not know the kind", id="no CRD"),
        pytest.param(["triage"], {"refused": {"triage"}}, 69, "ask for a role", id="forbidden"),
        pytest.param(["triage"], {"unauthorized": True}, 69, "log in again", id="unauthorized"),
        pytest.param(["triage", "--context", "nowhere"], {}, 64, "nowhere", id="no context"),
        pytest.param(["triage", "--kubeconfig", "/none"], {}, 64, "/none", id="no kubeconfig"),
    ],
)
def test_what_is_wrong_and_what_to_do(cluster, arguments, change, code, words):
    cluster.put(STATES["prepared"].raw(), told=False)
    for name, value in change.items():
        setattr(cluster, name, value)
    found = run("status", *arguments)
    assert found.exit_code == code
    assert words in found.stderr


def test_events_that_may_not_be_read_cost_a_note(cluster):
    cluster.put(STATES["prepared"].raw(), told=False)
    cluster.refused = {"events"}
    found = run("status", "triage")
    assert found.exit_code == 0
    assert "its events cannot be read" in found.stdout


@pytest.mark.parametrize(
    ("state", "code"), [("finished", 0), ("groups failed", 1), ("invalid", 64)]
)
def test_a_watch_of_what_has_ended_ends_at_once(cluster, state, code):
    cluster.put(STATES[state].raw(), told=False)
    assert run("status", "triage", "-w").exit_code == code


def test_a_watch_tells_transitions_and_ends_with_the_session(cluster):
    cluster.put(STATES["preparing"].raw(), told=False)

    def live():
        cluster.watches.get(timeout=30)
        cluster.put(STATES["prepared"].raw())
        cluster.put(STATES["finished"].raw())

    thread = threading.Thread(target=live)
    thread.start()
    found = run("status", "triage", "-w")
    thread.join()
    assert found.exit_code == 0
    places = [
        found.stdout.index(f"stage: {word}") for word in ("preparing", "training", "complete")
    ]
    assert places == sorted(places)


def test_a_cut_watch_goes_on_and_one_too_old_lists_anew(cluster, tmp_path):
    trained, archived = STATES["prepared"].raw(), STATES["archiving"].raw()

    async def follow():
        api = await KubeApi.connect(kubeconfig=os.environ["KUBECONFIG"])
        kinds, done = [], set()
        try:
            async for seen in watch_session(api, "team", "triage"):
                kinds.append((seen.kind, seen.raw["status"].get("phase")))
                if seen.kind == "deleted":
                    return kinds
                phase = seen.raw["status"]["phase"]
                if phase in done:
                    continue
                done.add(phase)
                if phase == "Preparing":
                    cluster.put(trained)
                    cluster.cut()
                elif phase == "Training":
                    cluster.put(archived, told=False)
                    cluster.send({"type": "ERROR", "object": {"code": 410, "message": "too old"}})
                    cluster.cut()
                else:
                    cluster.put(copy.deepcopy(dict(seen.raw)), "DELETED")
        finally:
            await api.close()

    cluster.put(STATES["preparing"].raw(), told=False)
    kinds = asyncio.run(asyncio.wait_for(follow(), 30))
    assert (kinds[0], kinds[-1][0]) == (("session", "Preparing"), "deleted")
    assert ("session", "Archiving") in kinds


def test_top_lists_every_page_the_most_active_first(cluster):
    cluster.page = 2
    for name in ("finished", "preparing", "groups failed", "prepared"):
        raw = STATES[name].raw()
        raw["metadata"]["name"] = name.replace(" ", "-")
        cluster.put(raw, told=False)
    broken = copy.deepcopy(STATES["prepared"].raw())
    broken["metadata"]["name"], broken["status"] = "broken\x1b[2J", {"phase": "\x1bOdd"}
    cluster.put(broken, told=False)
    found = run("top", "-A")
    assert found.exit_code == 0
    names = ("prepared", "preparing", "groups-failed", "finished", "(unreadable)")
    places = [found.stdout.index(name) for name in names]
    assert places == sorted(places)
    assert "\x1b" not in found.stdout
    assert "5 sessions, 2 at work" in found.stdout


def test_top_counts_what_a_queue_holds_neither_as_running_nor_as_memory(cluster):
    for name in ("queued", "prepared"):
        raw = STATES[name].raw()
        raw["metadata"]["name"] = name
        cluster.put(raw, told=False)
    waits, runs = top_rows(cluster.sessions.values())[::-1]
    assert (waits.name, waits.reason, waits.running, waits.memory) == ("queued", "Queued", 0, 0)
    assert (runs.name, runs.running, runs.memory) == ("prepared", 2, 2 * 2**30)
    assert "Training (Queued)" in run("top").stdout


def test_ages_of_months_are_no_count_of_hours(cluster):
    raw = STATES["prepared"].raw()
    created = datetime.now(UTC) - timedelta(days=45, hours=5)
    raw["metadata"]["creationTimestamp"] = f"{created:%Y-%m-%dT%H:%M:%SZ}"
    cluster.put(raw, told=False)
    assert run("top").stdout.splitlines()[2].split()[-1] == "45d"


@pytest.mark.parametrize("command", ["status", "top", "retrain", "suspend", "resume"])
def test_help_names_the_program_as_it_was_called(command):
    assert f"Example: kubectl cascade {command}" in run(command, "--help").stdout


def test_retrain_suspend_and_resume_patch_one_field(cluster):
    cluster.put(STATES["finished"].raw(), told=False)
    assert run("retrain", "triage", "--reason", "new traces").exit_code == 0
    assert run("suspend", "triage").exit_code == 0
    assert run("resume", "triage").exit_code == 0
    (kind, asked), *rest = cluster.bodies
    assert kind == "application/merge-patch+json"
    assert asked["metadata"]["annotations"][RETRAIN_ANNOTATION].endswith(" new traces")
    assert [body for _, body in rest] == [{"spec": {"suspend": True}}, {"spec": {"suspend": False}}]
    assert all("fieldManager=kubectl-cascade" in r for r in cluster.requests if "PATCH" in r)


_KUSTOMIZATION = {
    "kustomize.toolkit.fluxcd.io/name": "training",
    "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
}
_TRACKED = {
    "argocd.argoproj.io/tracking-id": "ml_triage:cascade-operator.dev/TrainingSession:team/triage"
}


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        pytest.param(
            {"labels": _KUSTOMIZATION},
            ["flux-system/training undoes this", "flux suspend kustomization training -n flux-sys"],
            id="Flux",
        ),
        pytest.param(
            {"annotations": _TRACKED}, ["application triage undoes this if"], id="Argo CD"
        ),
    ],
)
def test_who_undoes_a_suspension_is_told(cluster, metadata, words):
    raw = STATES["finished"].raw()
    raw["metadata"] |= metadata
    cluster.put(raw, told=False)
    for command, field in (("suspend", "spec.suspend: true"), ("resume", "spec.suspend: false")):
        done = run(command, "triage")
        assert done.exit_code == 0
        assert all(word in " ".join(done.stderr.split()) for word in [*words, f"ommit {field}"])
        assert "note" not in done.stdout


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({}, id="nobody"),
        pytest.param({"annotations": {"argocd.argoproj.io/tracking-id": "\x1b[2J"}}, id="no name"),
    ],
)
def test_where_nobody_undoes_it_nothing_is_told(cluster, metadata):
    raw = STATES["finished"].raw()
    raw["metadata"] |= metadata
    cluster.put(raw, told=False)
    assert run("suspend", "triage").stderr == ""


def test_the_commands_need_no_training_package():
    code = (
        "import sys; from cascade_operator.cli import kubectl; "
        "from cascade_operator.cli.cluster import edits, status, top, watching, top_rows; "
        "from cascade_operator.control.kube import api; "
        "print([m for m in ('dspy','numpy','pyarrow','umap','ollama','kopf') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert "Usage: kubectl cascade" in run("--help").stdout
