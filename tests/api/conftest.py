"""One control plane per test run, started when the first test asks; one namespace per test."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

import pytest

from api.ahead import any_uses, build_ahead, taken
from api.binaries import ensure_binaries
from api.claims import create_claim
from api.control_plane import ControlPlane
from api.health import assert_health
from api.kubectl import Kubectl
from api.operator_process import OperatorProcess
from api.rest import ApiError, wait_for
from api.service_account import Rule, create_service_account
from api.session_bed import NO_REDIS, SessionBed, serving
from api.toolchain import Report, TestBedError
from cascade_operator.control.kube.api import KubeApi
from fakes.kstatus import build_kstatus

_PROGRAMS = pytest.StashKey[dict[str, Path] | TestBedError]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Builds what is missing, where a test asks for it."""

    def build(report: Report) -> dict[str, Path]:
        built = ensure_binaries(report)
        if any_uses(session, "bed"):
            build_kstatus()
        return built

    if any_uses(session, "control_plane"):
        build_ahead(session, _PROGRAMS, build)


@pytest.fixture(scope="session")
def programs(request: pytest.FixtureRequest) -> dict[str, Path]:
    """The built programs by name."""
    return taken(request.config, _PROGRAMS)


@pytest.fixture(scope="session")
def control_plane(programs: dict[str, Path]) -> Iterator[ControlPlane]:
    """The control plane with kwok's nodes and the CRD; a test that stops a part starts it again."""
    plane = ControlPlane.create(programs)
    try:
        yield plane
    finally:
        plane.stop()


@pytest.fixture(autouse=True)
def _whole(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails the test under which a part of the control plane ended, with the end of its log."""
    yield
    if "control_plane" in request.fixturenames:
        request.getfixturevalue("control_plane").check()


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """A namespace of this test's own, in which pods may be created."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    rest = control_plane.rest
    rest.create(
        "/api/v1/namespaces",
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}},
    )
    # Pods are refused until their account exists.
    wait_for(
        "the default account",
        lambda: rest.get(f"/api/v1/namespaces/{name}/serviceaccounts/default"),
    )
    yield name
    with suppress(ApiError):
        rest.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture
def kubectl(
    control_plane: ControlPlane,
    programs: dict[str, Path],
    namespace: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Kubectl:
    """kubectl as the administrator, in this test's namespace."""
    cache = tmp_path_factory.getbasetemp() / "kubectl-cache"
    return Kubectl(programs["kubectl"], control_plane.kubeconfig, cache, namespace)


@pytest.fixture
def connect_api(
    control_plane: ControlPlane,
) -> Callable[..., AbstractAsyncContextManager[KubeApi]]:
    """``async with connect_api() as api``: the operator's own client, as the administrator."""

    @asynccontextmanager
    async def connect(kubeconfig: Path = control_plane.kubeconfig) -> AsyncIterator[KubeApi]:
        api = await KubeApi.connect(kubeconfig=str(kubeconfig))
        try:
            yield api
        finally:
            await api.close()

    return connect


@pytest.fixture
def start_operator(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> Iterator[Callable[..., OperatorProcess]]:
    """Starts operators of this test's namespace; each must end well when told to.

    ``start_operator("--workers=4", kubeconfig=path, ready=False)``: flags, another user, and not
    to wait for its readiness. One that a test has killed or stopped is left as it is.
    """
    started: list[OperatorProcess] = []

    def start(*flags: str, kubeconfig: Path | None = None, ready: bool = True) -> OperatorProcess:
        user = kubeconfig or control_plane.write_admin_kubeconfig(
            tmp_path / "operator.kubeconfig", namespace
        )
        flags = (f"--namespace={namespace}", NO_REDIS, *flags)
        operator = OperatorProcess(user, tmp_path / f"operator-{len(started)}.log", *flags)
        started.append(operator)
        operator.start(wait_seconds=60 if ready else 0)
        return operator

    yield start
    failed = []
    for operator in started:
        if operator.running:
            code, tail = operator.stop(), operator.log_tail()
            if code != 0:
                failed.append(f"the operator ended with {code} when told to:\n{tail}")
    assert not failed, "\n".join(failed)


@pytest.fixture
def operator_process(start_operator: Callable[..., OperatorProcess]) -> OperatorProcess:
    """A ready operator of this test's namespace, with the administrator's rights."""
    return start_operator()


@pytest.fixture
def claims(control_plane: ControlPlane, namespace: str) -> None:
    """The claim that archives go to where a session names none."""
    create_claim(control_plane.rest, namespace)


@pytest.fixture
def service_account(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> Callable[..., Path]:
    """``service_account(name, cluster_rules=[...], namespace_rules=[...])``: its kubeconfig."""

    def create(name: str = "operator", **rules: list[Rule]) -> Path:
        kubeconfig = tmp_path / f"{name}.kubeconfig"
        return create_service_account(control_plane, namespace, name, kubeconfig, **rules)

    return create


@pytest.fixture(scope="module")
def bed(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SessionBed]:
    """One operator of the whole cluster for a module's sessions.

    Whatever the module's tests look at, every version of every session has the health of its state.
    """
    folder = tmp_path_factory.mktemp("bed")
    # Its Lease is not the point, and a machine that stands still for ten seconds would lose it.
    with serving(control_plane, folder, "--no-leader-election", NO_REDIS) as made:
        yield made
    assert assert_health(build_kstatus(), made.recorder.all()), "none was seen"
