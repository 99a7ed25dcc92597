"""A real node on this machine: containerd, kubelet, kube-proxy, CoreDNS."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from api.component import Component
from api.ports import answers, free_ports
from api.rest import wait_for
from api.toolchain import TestBedError
from cluster.images import PAUSE
from cluster.network import ADDRESS, BRIDGE, PODS, add_bridge
from cluster.plane import NodeControlPlane
from cluster.remains import end_containers, remove_state

NAME: Final = "node1"
DNS: Final = ADDRESS
"""CoreDNS runs beside the node, on its address: pods need no image of it."""


class Node:
    """One node that has joined a control plane.

    Attributes:
        containerd: Runs containers; those that run outlive it, as on any node.
        kubelet: Starts and ends pods.
        proxy: Serves services' addresses.
        dns: Serves services' names.
    """

    def __init__(self, programs: Mapping[str, Path], plane: NodeControlPlane) -> None:
        """Prepares a node below the control plane's folder; :meth:`start` starts it."""
        self._programs = programs
        self._plane = plane
        self.folder = plane.folder / "node"
        self.socket = self.folder / "containerd.sock"
        self.containerd = self._containerd()
        self.kubelet = self._kubelet()
        self.proxy = self._proxy()
        self.dns = self._dns()

    @property
    def components(self) -> tuple[Component, ...]:
        """Its processes, in the order in which they start."""
        return (self.containerd, self.dns, self.proxy, self.kubelet)

    def join_network(self) -> None:
        """Gives this machine its address, which the API server is reached by as well."""
        add_bridge()

    def start(self, archives: Iterable[Path]) -> None:
        """Starts everything with the images of some archives; returns when the node is ready."""
        self.containerd.start()
        for archive in archives:
            self.load(archive)
        for component in self.components[1:]:
            component.start(wait_seconds=0)
        for component in self.components[1:]:
            component.wait_ready()
        wait_for("the node is ready", self._ready)

    def load(self, archive: Path) -> None:
        """Imports the images of an archive."""
        self.ctr("images", "import", str(archive))

    def name_image(self, image: str, name: str) -> None:
        """Gives an image another name, as whole as ``docker.io/library/redis:7``."""
        self.ctr("images", "tag", "--force", image, name)

    def restart(self) -> None:
        """Stops kubelet and containerd, and starts them: a node that is serviced."""
        self.kubelet.stop()
        self.containerd.stop()
        self.containerd.start()
        self.kubelet.start()
        wait_for("the node is ready again", self._ready)

    def ctr(self, *arguments: str, check: bool = True) -> str:
        """Runs containerd's own client."""
        done = subprocess.run(
            ["ctr", f"--address={self.socket}", "--namespace=k8s.io", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        if check and done.returncode != 0:
            raise TestBedError(f"ctr {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def check(self) -> None:
        """Raises ``TestBedError`` where a process has ended by itself."""
        for component in self.components:
            component.check()

    def stop(self) -> None:
        """Ends every process and container; leaves no mount, interface or rule."""
        self.kubelet.stop()
        end_containers(self._plane.folder)
        self.dns.stop()
        self.proxy.stop()
        subprocess.run(
            [str(self._programs["kube-proxy"]), "--cleanup"], capture_output=True, check=False
        )
        self.containerd.stop()
        remove_state(self._plane.folder)

    def _ready(self) -> bool:
        status = self._plane.rest.get(f"/api/v1/nodes/{NAME}")
        conditions = {c["type"]: c["status"] for c in status["status"].get("conditions", [])}
        return conditions.get("Ready") == "True" and not status["spec"].get("taints")

    def _component(self, name: str, options: list[str], ready: Any, program: str = "") -> Component:
        return Component(
            name,
            [program or str(self._programs[name]), *options],
            log=self._plane.folder / "log" / f"{name}.log",
            ready=ready,
        )

    def _containerd(self) -> Component:
        self.folder.mkdir(parents=True)
        config = self._write("containerd.toml", _CONTAINERD.format(
            folder=self.folder, socket=self.socket, pause=PAUSE))  # fmt: skip
        network = {
            "cniVersion": "0.4.0",
            "name": "cascade",
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": BRIDGE,
                    "isGateway": True,
                    "ipMasq": True,
                    "ipam": {
                        "type": "host-local",
                        "ranges": [[{"subnet": PODS}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                },
                {"type": "portmap", "capabilities": {"portMappings": True}},
            ],
        }
        self._write("cni/10-bridge.conflist", json.dumps(network))
        return self._component(
            "containerd",
            [f"--config={config}"],
            lambda: bool(self.ctr("version", check=False)),
            program=shutil.which("containerd") or "containerd",
        )

    def _kubelet(self) -> Component:
        user = self._plane._user("node", f"/O=system:nodes/CN=system:node:{NAME}")
        health, port = free_ports(2)
        authority = self._plane.folder / "pki" / "ca.crt"
        config = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(authority)},
            },
            "authorization": {"mode": "Webhook"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": "/",
            "failSwapOn": False,
            "clusterDomain": "cluster.local",
            "clusterDNS": [DNS],
            "containerRuntimeEndpoint": f"unix://{self.socket}",
            "evictionHard": {
                "memory.available": "100Mi",
                "nodefs.available": "1%",
                "imagefs.available": "1%",
            },
            "imageGCHighThresholdPercent": 100,
            "tlsCertFile": str(user.certificate),
            "tlsPrivateKeyFile": str(user.key),
            # There may be no right to raise a process's place in the kernel's order of victims.
            "featureGates": {"KubeletInUserNamespace": True},
            "localStorageCapacityIsolation": False,
            # A busy machine creates a container in minutes.
            "runtimeRequestTimeout": "10m",
            "healthzPort": health,
            "port": port,
            "maxPods": 200,
            "resolvConf": self._write("resolv.conf", f"nameserver {DNS}\n"),
            # A suspended session's pods are to be seen gone at once.
            "syncFrequency": "10s",
        }
        path = self._write("kubelet.yaml", yaml.safe_dump(config))
        options = [
            f"--config={path}",
            f"--kubeconfig={self._plane.folder / 'node.kubeconfig'}",
            f"--hostname-override={NAME}",
            f"--root-dir={self.folder / 'kubelet'}",
            f"--node-ip={ADDRESS}",
            "--v=2",
        ]
        return self._component(
            "kubelet", options, lambda: answers(f"http://127.0.0.1:{health}/healthz")
        )

    def _proxy(self) -> Component:
        self._plane._user("proxy", "/CN=system:kube-proxy")
        health, metrics = free_ports(2)
        options = [
            f"--kubeconfig={self._plane.folder / 'proxy.kubeconfig'}",
            "--proxy-mode=iptables",
            f"--cluster-cidr={PODS}",
            f"--hostname-override={NAME}",
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0",
            f"--healthz-bind-address=127.0.0.1:{health}",
            f"--metrics-bind-address=127.0.0.1:{metrics}",
        ]
        return self._component(
            "kube-proxy", options, lambda: answers(f"http://127.0.0.1:{health}/livez")
        )

    def _dns(self) -> Component:
        (health,) = free_ports(1)
        kubeconfig = self._plane.folder / "admin.kubeconfig"
        corefile = self._write("Corefile", _COREFILE.format(
            address=ADDRESS, health=health, kubeconfig=kubeconfig))  # fmt: skip
        return self._component(
            "coredns",
            [f"-conf={corefile}"],
            lambda: answers(f"http://127.0.0.1:{health}/health"),
        )

    def _write(self, name: str, text: str) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return str(path)


_CONTAINERD: Final = """\
version = 2
root = "{folder}/containerd/root"
state = "{folder}/containerd/state"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{folder}/cni"
"""

_COREFILE: Final = """\
cluster.local in-addr.arpa {{
  bind {address}
  errors
  health 127.0.0.1:{health}
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {kubeconfig}
    pods insecure
    fallthrough in-addr.arpa
    ttl 5
  }}
}}
"""
