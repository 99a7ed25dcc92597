"""One cluster with a real node for the whole run; one namespace per test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from api.ahead import build_ahead, taken
from api.toolchain import TestBedError
from cluster.bed import ClusterBed
from cluster.deployment import deploy
from cluster.release import Release
from cluster.sessions import prepare_namespace, serve_models
from cluster.setup import Parts, set_up
from fakes.model_server import FakeModelServer

_PARTS = pytest.StashKey[Parts | TestBedError]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Builds what is missing."""
    build_ahead(session, _PARTS, set_up)


@pytest.fixture(scope="session")
def bed(request: pytest.FixtureRequest) -> Iterator[ClusterBed]:
    """The cluster."""
    made = ClusterBed.create(taken(request.config, _PARTS))
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def operator(bed: ClusterBed) -> Release:
    """The chart's release for the whole cluster; sessions name their model server themselves."""
    return deploy(bed, models="http://no-model-server.invalid:11434")


@pytest.fixture
def models(bed: ClusterBed) -> Iterator[FakeModelServer]:
    """A model server of the test's own: Redis holds no answer of it, so each takes its time."""
    with serve_models() as server:
        yield server


@pytest.fixture
def team(bed: ClusterBed, operator: Release) -> Iterator[str]:
    """A restricted namespace of the test's own, with the tickets' traces."""
    yield prepare_namespace(bed)
    bed.delete_namespaces()


@pytest.fixture(autouse=True)
def _whole(bed: ClusterBed) -> Iterator[None]:
    """Fails the test under which a part of the cluster ended, with the end of its log."""
    yield
    bed.check()
