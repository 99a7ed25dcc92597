"""The pods' bridge on this machine, and what is left of its rules at the end."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Final

BRIDGE: Final = "cascade0"
ADDRESS: Final = "10.244.0.1"
"""This machine, as its pods and the API server's certificate know it."""
PODS: Final = "10.244.0.0/24"

_CHAINS: Final = (":KUBE-", ":CNI-")
_FORWARD: Final = Path("/proc/sys/net/ipv4/ip_forward")


def add_bridge() -> None:
    """Makes the bridge with this machine's address; what another run left is taken over."""
    if _run("ip", "link", "show", BRIDGE).returncode != 0:
        _checked("ip", "link", "add", BRIDGE, "type", "bridge")
    _checked("ip", "address", "replace", f"{ADDRESS}/24", "dev", BRIDGE)
    _checked("ip", "link", "set", BRIDGE, "up")
    if _FORWARD.read_text().strip() != "1":
        _FORWARD.write_text("1")


def remove_bridge() -> None:
    """Removes the bridge, and the chains of CNI's plugins, the kubelet and kube-proxy."""
    _run("ip", "link", "delete", BRIDGE)
    for table in ("mangle", "filter", "nat"):
        rules = _run("iptables-save", "-t", table).stdout.splitlines()
        chains = [line[1:].split()[0] for line in rules if line.startswith(_CHAINS)]
        for line in rules:
            words = shlex.split(line)
            target = words[words.index("-j") + 1] if "-j" in words else ""
            if words[:1] == ["-A"] and target.startswith(("KUBE-", "CNI-")):
                _run("iptables", "-t", table, "-D", *words[1:])
        for action in ("-F", "-X"):
            for chain in chains:
                _run("iptables", "-t", table, action, chain)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _checked(*command: str) -> None:
    done = _run(*command)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"
