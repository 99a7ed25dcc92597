"""A real control plane on this machine: etcd, API server, controller manager, scheduler, kwok."""

from __future__ import annotations

import shutil
import ssl
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar, Final

import yaml

from api import kwok
from api.certificates import Authority, KeyPair
from api.component import Component
from api.custom_resource import install_crd
from api.kubeconfig import write_kubeconfig
from api.ports import answers, free_ports
from api.rest import Rest, wait_for

_CONTROLLERS: Final = (
    *("clusterrole-aggregation-controller", "disruption-controller"),
    *("garbage-collector-controller", "job-controller", "namespace-controller"),
    *("node-lifecycle-controller", "persistentvolume-binder-controller"),
    *("persistentvolume-protection-controller", "persistentvolumeclaim-protection-controller"),
    *("pod-garbage-collector-controller", "resourcequota-controller"),
    *("root-ca-certificate-publisher-controller", "serviceaccount-controller"),
    "taint-eviction-controller",
)
# A client of a controller is held to 20 requests a second by default, far below what tests ask.
_UNHURRIED: Final = ("--kube-api-qps=2000", "--kube-api-burst=4000")
_NODE_LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


class ControlPlane:
    """One control plane with kwok's nodes; each part may be stopped, paused and started by tests.

    Attributes:
        etcd: The store; a paused one holds up every request.
        apiserver: Starts again on its port with the same store: :meth:`start_apiserver`.
        controller_manager: Jobs, garbage collection, quotas, service accounts, volumes, taints.
        scheduler: Places pods.
        kwok: Plays nodes and the workers in their pods.
        kubeconfig: Of the administrator.
        serving: What every server on this machine may show.
    """

    controllers: ClassVar[tuple[str, ...]] = _CONTROLLERS
    """What the controller manager runs."""

    def __init__(self, programs: Mapping[str, Path], folder: Path, *, nodes: int = 20) -> None:
        """Prepares a control plane in an empty folder; :meth:`start` starts it."""
        self.folder = folder
        self.nodes = nodes
        self._programs = programs
        self._authority = Authority.create(folder / "pki")
        self.serving = self._authority.sign("serving", "/CN=kube-apiserver")
        ports = free_ports(6)
        self.port, etcd_client, etcd_peer, manager, scheduler, kwok_port = ports
        self.admin = self._user("admin", "/O=system:masters/CN=admin")
        self.kubeconfig = folder / "admin.kubeconfig"
        self.etcd = self._etcd(etcd_client, etcd_peer)
        self.apiserver = self._apiserver(etcd_client)
        self.controller_manager = self._controller_manager(manager)
        self.scheduler = self._scheduler(scheduler)
        self.kwok = self._kwok(kwok_port)

    @classmethod
    def create(cls, programs: Mapping[str, Path], *, nodes: int = 20) -> ControlPlane:
        """Starts a control plane in a temporary folder, which :meth:`stop` removes."""
        plane = cls(programs, Path(tempfile.mkdtemp(prefix="cascade-api-")), nodes=nodes)
        try:
            plane.start()
        except BaseException:
            plane.stop(keep_logs=True)
            raise
        return plane

    @property
    def components(self) -> tuple[Component, ...]:
        """Its processes, in the order in which they start."""
        return (self.etcd, self.apiserver, *self._clients)

    @property
    def _clients(self) -> tuple[Component, ...]:
        return (self.controller_manager, self.scheduler, self.kwok)

    @property
    def server(self) -> str:
        """The API server's address."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def authority_pem(self) -> bytes:
        """The certificate that signs all others."""
        return self._authority.certificate.read_bytes()

    @property
    def rest(self) -> Rest:
        """Requests as the administrator."""
        return Rest(self.port, self._authority.certificate, self.admin)

    def as_token(self, token: str) -> Rest:
        """Requests with a bearer token."""
        return Rest(self.port, self._authority.certificate, token=token)

    def write_admin_kubeconfig(self, path: Path, namespace: str, *, port: int = 0) -> Path:
        """Writes a kubeconfig of the administrator with a namespace as its default.

        Args:
            path: Where.
            namespace: The default one.
            port: Of something on 127.0.0.1 that passes on to the API server, instead of its own.
        """
        return write_kubeconfig(
            path,
            f"https://127.0.0.1:{port}" if port else self.server,
            self._authority.certificate,
            user=self.admin,
            namespace=namespace,
        )

    def write_token_kubeconfig(self, path: Path, token: str, namespace: str = "default") -> Path:
        """Writes a kubeconfig that shows a token."""
        return write_kubeconfig(
            path, self.server, self._authority.certificate, token=token, namespace=namespace
        )

    def start(self) -> None:
        """Starts everything and installs the CRD; ready when all nodes take pods."""
        self.etcd.start()
        self.apiserver.start()
        self._install_kinds()
        for component in self._clients:
            component.start(wait_seconds=0)
        for name, manifest in kwok.nodes(self.nodes).items():
            wait_for(f"node {name}", lambda m=manifest: self.rest.create("/api/v1/nodes", m))
        for component in self._clients:
            component.wait_ready()
        wait_for("nodes that take pods", self._nodes_take_pods)

    def start_apiserver(self) -> None:
        """Starts an API server that a test has stopped, and its own clients anew."""
        self.apiserver.start()
        self.restart_clients()

    def restart_clients(self) -> None:
        """Starts controllers, scheduler and kwok anew.

        After an outage they would look for the API server again after up to a minute, for which
        tests would wait. A new kwok would, one time in eight (it starts its parts in random order),
        leave the nodes alone until the leases of the old one had run out.
        """
        for component in self._clients:
            component.stop()
        wait_for("nobody's nodes", lambda: self.rest.delete(_NODE_LEASES))
        for component in self._clients:
            component.start(wait_seconds=0)
        for component in self._clients:
            component.wait_ready()

    def check(self) -> None:
        """Raises ``TestBedError`` where a process has ended by itself."""
        for component in self.components:
            component.check()

    def stop(self, *, keep_logs: bool = False) -> None:
        """Ends every process, the last started first, and removes the folder."""
        for component in reversed(self.components):
            component.stop()
        if not keep_logs:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _install_kinds(self) -> None:
        # First: the garbage collector looks for new kinds of owners every 30 s only.
        install_crd(self.rest)

    def _nodes_take_pods(self) -> bool:
        found = self.rest.get("/api/v1/nodes")["items"]
        return len(found) >= self.nodes and not any(node["spec"].get("taints") for node in found)

    def _user(self, name: str, subject: str) -> KeyPair:
        pair = self._authority.sign(name, subject)
        write_kubeconfig(
            self.folder / f"{name}.kubeconfig",
            self.server,
            self._authority.certificate,
            user=pair,
        )
        return pair

    def _component(
        self, name: str, options: list[str], ready: Callable[[], bool], grace_seconds: float = 10
    ) -> Component:
        return Component(
            name,
            [str(self._programs[name]), *options],
            log=self.folder / "log" / f"{name}.log",
            ready=ready,
            grace_seconds=grace_seconds,
        )

    def _etcd(self, client: int, peer: int) -> Component:
        client_url, peer_url = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
        options = [
            "--name=etcd",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client_url}",
            f"--advertise-client-urls={client_url}",
            f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster=etcd={peer_url}",
            "--unsafe-no-fsync",
            "--quota-backend-bytes=4294967296",
            "--log-level=warn",
        ]
        return self._component("etcd", options, lambda: answers(f"{client_url}/health"))

    def _apiserver(self, etcd: int) -> Component:
        key = self._authority.service_account_key
        options = [
            f"--etcd-servers=http://127.0.0.1:{etcd}",
            f"--secure-port={self.port}",
            *self._address_options(),
            *self._serving_options(),
            f"--client-ca-file={self._authority.certificate}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--authorization-mode=Node,RBAC",
            # On top of the defaults: what OpenShift has on.
            "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
            "--shutdown-delay-duration=0s",
            "--profiling=false",
        ]
        ready = self._https_probe(self.port, "/readyz")
        # It waits for its clients' connections, which watch for as long as it serves.
        return self._component("kube-apiserver", options, ready, grace_seconds=2)

    def _address_options(self) -> tuple[str, ...]:
        return (
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            # An endpoint may not be a loopback address.
            "--endpoint-reconciler-type=none",
        )

    def _controller_manager(self, port: int) -> Component:
        self._user("controller-manager", "/CN=system:kube-controller-manager")
        options = [
            f"--kubeconfig={self.folder / 'controller-manager.kubeconfig'}",
            f"--service-account-private-key-file={self._authority.service_account_key}",
            f"--root-ca-file={self._authority.certificate}",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            f"--controllers={','.join(self.controllers)}",
            "--concurrent-job-syncs=20",
            "--concurrent-namespace-syncs=20",
            # A claim that meets its volume in the wrong order waits for the next look.
            "--pvclaimbinder-sync-period=1s",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            *self._serving_options(),
            *_UNHURRIED,
        ]
        ready = self._https_probe(port, "/healthz")
        return self._component("kube-controller-manager", options, ready)

    def _scheduler(self, port: int) -> Component:
        self._user("scheduler", "/CN=system:kube-scheduler")
        options = [
            f"--kubeconfig={self.folder / 'scheduler.kubeconfig'}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            *self._serving_options(),
            *_UNHURRIED,
        ]
        return self._component("kube-scheduler", options, self._https_probe(port, "/healthz"))

    def _kwok(self, port: int) -> Component:
        self._user("kwok", "/O=system:masters/CN=kwok")
        config = self.folder / "kwok.yaml"
        config.write_text(yaml.safe_dump_all(kwok.configuration()), encoding="utf-8")
        options = [
            f"--kubeconfig={self.folder / 'kwok.kubeconfig'}",
            f"--config={config}",
            "--manage-all-nodes=true",
            f"--server-address=127.0.0.1:{port}",
            "--v=WARN",
        ]
        return self._component("kwok", options, lambda: answers(f"http://127.0.0.1:{port}/healthz"))

    def _serving_options(self) -> tuple[str, str]:
        return (
            f"--tls-cert-file={self.serving.certificate}",
            f"--tls-private-key-file={self.serving.key}",
        )

    def _https_probe(self, port: int, path: str) -> Callable[[], bool]:
        context = ssl.create_default_context(cafile=str(self._authority.certificate))
        return lambda: answers(f"https://127.0.0.1:{port}{path}", context)
