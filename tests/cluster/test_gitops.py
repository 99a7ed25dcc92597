"""Sessions that Flux applies from commits, as docs/gitops.md tells it, on a real node."""

from __future__ import annotations

import pytest

from api.cascade_plugin import Plugin
from api.rest import ApiError, wait_for
from api.session_bed import brief
from cluster.artifacts import Repository, serving
from cluster.flux import GROUP, MANAGER, Flux
from cluster.flux import NAMESPACE as FLUX_SYSTEM
from cluster.sessions import archive_files, prepare_namespace, ticket_document, wait_session
from fakes.documents import snippet

TEAM, NAME = "team", "triage"
"""As the page's Kustomizations name them."""
OBJECT = f"TrainingSession/{TEAM}/{NAME}"
FILE = "sessions/triage.yaml"
BARE = {"sessions/kustomization.yaml": {"kind": "Kustomization", "resources": []}}
"""A folder that is there and in which nothing is: all that was there is pruned."""

pytestmark = pytest.mark.timeout(1200)
TRAIN = 240.0


@pytest.fixture(scope="module")
def flux(bed, operator):
    """One kustomize-controller for the module."""
    made = Flux(bed)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def team(bed, flux):
    """The namespace that the page's Kustomizations name."""
    yield prepare_namespace(bed, TEAM)
    bed.delete_namespaces()


@pytest.fixture
def repository(bed, flux, tmp_path):
    """The repository that the page's Kustomizations name; empty."""
    with serving(tmp_path) as url:
        made = Repository(bed.rest, FLUX_SYSTEM, "training", tmp_path, url)
        yield made
        made.delete()


@pytest.fixture
def kustomize(flux, team, repository):
    """Applies one of the page's Kustomizations, which looks for drift every few seconds."""
    made = []

    def apply(name):
        document = snippet("gitops.md", "Kustomization", name)
        document["spec"] |= {"interval": "10s", "retryInterval": "5s"}
        made.append(flux.kustomization(document))
        return made[-1]

    yield apply
    flux.controller.check()
    for one in made:
        one.delete()
    # One that waits for health is told to stop.
    repository.commit(BARE)
    for one in made:
        one.wait_gone()


def _tree(models, **spec):
    """A commit of one small session; ``spec`` replaces parts of it."""
    chosen = {
        "groups": {"include": [["classify"]]},
        "optimizer": {"candidates": 4, "trials": 4},
        **spec,
    }
    document = ticket_document(models.url, **chosen)
    document["metadata"] = {"name": NAME, "namespace": TEAM}
    return {FILE: document}


def _assert_owners(session):
    """Flux owns all that Git has; the operator owns status; nobody else owns anything."""
    found = {}
    for entry in session.raw()["metadata"]["managedFields"]:
        fields = {name.removeprefix("f:") for name in entry["fieldsV1"]}
        found.setdefault((entry["manager"], entry.get("subresource", "")), set()).update(fields)
    assert found.pop((MANAGER, "")) == {"metadata", "spec"}
    ((_, subresource),) = found
    assert (subresource, list(found.values())) == ("status", [{"status"}]), found


def _archives(bed):
    return {file.name for file in archive_files(bed, TEAM)}


def _is_gone(session):
    try:
        session.raw()
    except ApiError as error:
        return error.status == 404
    return False


def test_a_session_lives_by_its_commits(bed, team, models, repository, kustomize, flux):
    # A commit adds it: who waits for the result is not ready while it trains.
    models.delay = 0.5
    first = repository.commit(_tree(models))
    applied = kustomize("training-result")
    session = wait_session(bed, TEAM, NAME)
    session.wait_phase("Training", seconds=TRAIN)
    applied.wait_health_asked(first)
    assert session.status()["phase"] == "Training", "the wait for its health outlasted it"
    models.delay = 0.0
    ready = applied.wait_ready(first, seconds=TRAIN)
    done = session.status()
    assert (done["phase"], done["run"]["number"]) == ("Complete", 1), brief(done)
    assert done["run"]["completionTime"] <= ready["lastTransitionTime"]
    assert applied.inventory() == [f"{TEAM}_{NAME}_cascade-operator.dev_TrainingSession"]

    # Then nobody writes it any more: neither sees the other's fields as drift.
    before = session.raw()["metadata"]["resourceVersion"]
    for number in range(3):
        applied.reconcile(f"look {number}")
    assert session.raw()["metadata"]["resourceVersion"] == before
    created, *later = flux.actions(first, OBJECT)
    assert (created, set(later)) == ("created", {"unchanged"})
    _assert_owners(session)
    labels = session.raw()["metadata"]["labels"]
    assert labels[f"{GROUP}/name"] == "training-result"
    children = [*session.jobs().values(), *session.pods().values()]
    assert children
    assert not [one for one in children if GROUP in str(one["metadata"])]

    # What kubectl or its plugin sets is undone, though Git does not name it.
    assert "suspend" not in _tree(models)[FILE]["spec"]
    generation = session.raw()["metadata"]["generation"]
    ended = Plugin(bed.plane.kubeconfig)("suspend", NAME, "-n", TEAM)
    assert ended.code == 0, ended
    told = " ".join(ended.errors.split())
    assert f"Flux's Kustomization {FLUX_SYSTEM}/training-result undoes this" in told
    applied.reconcile("undo")
    undone = session.raw()
    assert (undone["spec"]["suspend"], undone["metadata"]["generation"]) == (False, generation + 2)
    _assert_owners(session)
    assert session.wait_phase("Complete")["run"]["sessionId"] == done["run"]["sessionId"]

    # A commit that changes its trials trains it again, from what the first run found.
    second = repository.commit(_tree(models, optimizer={"candidates": 4, "trials": 5}))
    applied.wait_ready(second, seconds=TRAIN)
    again = session.status()
    assert (again["phase"], again["run"]["number"]) == ("Complete", 2), brief(again)
    assert again["run"]["trigger"] == "SpecChanged"
    assert again["run"]["warmStartedFrom"] == done["run"]["sessionId"]
    assert set(flux.actions(second, OBJECT)) <= {"configured", "unchanged"}
    archives = _archives(bed)
    assert len(archives) == 2, archives

    # A commit that the schema allows and that makes no sense: the Kustomization names the session,
    # which says why.
    typo = repository.commit(_tree(models, groups={"include": [["clasify"]]}))
    said = applied.wait_failed(typo, "HealthCheckFailed")["message"]
    assert f"{OBJECT} status: 'Failed'" in said
    assert session.ready()["reason"] == "InvalidSpec"
    assert "clasify" in session.ready()["message"]
    assert session.status()["run"]["number"] == 2, "nothing was started"

    # One whose traces are not there: so does prepare.
    traces = {"persistentVolumeClaim": {"claimName": "traces", "path": "missing.jsonl"}}
    missing = repository.commit(_tree(models, traces=traces))
    said = applied.wait_failed(missing, "HealthCheckFailed", seconds=TRAIN)["message"]
    assert f"{OBJECT} status: 'Failed'" in said
    assert session.ready()["reason"] == "PrepareFailed"
    assert "missing.jsonl" in session.ready()["message"]

    # One that the API server refuses: the Kustomization has its words; the session stays as it was.
    generation = session.raw()["metadata"]["generation"]
    refused = repository.commit(_tree(models, optimizer={"candidates": 4, "trials": -1}))
    said = applied.wait_failed(refused, "ReconciliationFailed")["message"]
    assert OBJECT in said
    assert "spec.optimizer.trials" in said
    assert session.raw()["metadata"]["generation"] == generation

    # The commit that mends it trains it.
    models.delay = 0.5
    mended = repository.commit(_tree(models))
    session.wait_phase("Training", run=4, seconds=TRAIN)
    applied.wait_health_asked(mended)

    # A commit without the folder fails, and takes nothing away: Git keeps no empty folder.
    lost = repository.commit({"readme.yaml": {}})
    said = applied.wait_failed(lost, "ArtifactFailed")["message"]
    assert "path not found" in said
    assert session.status()["run"]["number"] == 4

    # A commit without it deletes it in the midst of its training; its archives stay.
    gone = repository.commit(BARE)
    wait_for("the session is gone", lambda: _is_gone(session))
    wait_for("Jobs and pods are gone", lambda: not {**session.jobs(), **session.pods()})
    applied.wait_ready(gone)
    assert applied.inventory() == []
    assert _archives(bed) >= archives


@pytest.mark.parametrize("name", ["training", "training-named"])
def test_a_training_holds_no_sync(bed, team, models, repository, kustomize, name):
    models.delay = 0.5
    first = repository.commit(_tree(models, optimizer={"candidates": 4, "trials": 8}))
    applied = kustomize(name)
    session = wait_session(bed, TEAM, NAME)
    # While prepare is at work it is held.
    session.wait("it prepares", lambda s: s.get("phase") == "Preparing")
    applied.wait_health_asked(first)
    # Long enough for the next look at its health.
    models.delay = 3.0
    applied.wait_ready(first, seconds=TRAIN)
    status = session.status()
    assert status["phase"] == "Training", brief(status)
    assert "completionTime" not in status["run"]
