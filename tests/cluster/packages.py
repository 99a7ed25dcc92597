"""What a node is made of from Debian and PyPI."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from api.toolchain import Report, TestBedError

PACKAGES: Final = {
    "buildah": "buildah",
    "busybox": "busybox-static",
    "conntrack": "conntrack",
    "containerd": "containerd",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "iptables": "iptables",
    "openssl": "openssl",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "/usr/include/nlohmann/json.hpp": "nlohmann-json3-dev",
    "/usr/include/stb/stb_image.h": "libstb-dev",
}
"""A program on the PATH, or a file, and the package it is in."""


def ensure_packages(report: Report) -> None:
    """Installs what is missing.

    Raises:
        TestBedError: This is not Debian, not root, or a package could not be installed.
    """
    missing = [package for name, package in PACKAGES.items() if not _is_here(name)]
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise TestBedError(
            f"the node needs {', '.join(missing)}: install them; it runs as root on Debian only"
        )
    report(f"Installing {', '.join(missing)} ...")
    install = ["apt-get", "install", "--yes", "-qq", "--no-install-recommends", *missing]
    if _run(install).returncode != 0:
        _run(["apt-get", "update", "-qq"])
        done = _run(install)
        if done.returncode != 0:
            raise TestBedError(f"apt-get install failed:\n{done.stdout[-1500:]}")


def _is_here(name: str) -> bool:
    return Path(name).exists() if name.startswith("/") else shutil.which(name) is not None


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def fetch_from_pypi(requirement: str, folder: Path, *options: str) -> Path:
    """Downloads the one file of a release from PyPI into an empty folder; returns it.

    Raises:
        TestBedError: It could not be fetched.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
    command += ["--disable-pip-version-check", *options, "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = list(folder.iterdir())
    if len(found) != 1:
        raise TestBedError(f"{requirement} could not be fetched from PyPI:\n{done.stderr[-1500:]}")
    return found[0]
