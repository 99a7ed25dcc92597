"""The programs of the test bed: built once from Go modules, then kept in the cache by version.

Versions and checksums stand in ``modules/<tool>/go.mod`` and ``go.sum``.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from api.toolchain import Report, TestBedError, cache_folder, find_go, go_environment

MODULES: Final = Path(__file__).parent / "modules"
_BUILD_SECONDS: Final = 3600


@dataclass(frozen=True)
class Program:
    """A program and where it comes from.

    Attributes:
        name: Of the file.
        tool: The folder below ``modules`` whose ``go.mod`` pins it.
        module: The Go module whose version names the cache folder.
        package: What is built; ``.`` where the folder has a ``main.go`` of its own.
        environment: Makes what its build needs beside, such as a C compiler's flags.
    """

    name: str
    tool: str
    module: str
    package: str
    environment: Callable[[Report], Mapping[str, str]] = lambda _: {}

    @property
    def version(self) -> str:
        """The pinned version, such as ``v1.34.4``."""
        pattern = rf"^(?:require)?\s+{re.escape(self.module)} (v\S+)"
        found = re.search(pattern, self._requirements(), re.M)
        assert found is not None, f"modules/{self.tool}/go.mod does not require {self.module}"
        return found[1]

    @property
    def oldest_go(self) -> tuple[int, int]:
        """The oldest Go, as major and minor, that its modules build with."""
        found = re.search(r"^go (\d+)\.(\d+)", self._requirements(), re.M)
        assert found is not None, f"modules/{self.tool}/go.mod names no Go"
        return int(found[1]), int(found[2])

    @property
    def cached(self) -> Path:
        """Where it lies once it is built."""
        return cache_folder() / f"{self.tool}-{self.version}" / self.name

    def _requirements(self) -> str:
        return (MODULES / self.tool / "go.mod").read_text(encoding="utf-8")


def kubernetes(name: str) -> Program:
    """A program of Kubernetes itself."""
    return Program(name, "kubernetes", "k8s.io/kubernetes", f"k8s.io/kubernetes/cmd/{name}")


HELM: Final = Program("helm", "helm", "helm.sh/helm/v3", "helm.sh/helm/v3/cmd/helm")

PROGRAMS: Final = (
    Program("etcd", "etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3"),
    kubernetes("kube-apiserver"),
    kubernetes("kube-controller-manager"),
    kubernetes("kube-scheduler"),
    kubernetes("kubectl"),
    Program("kwok", "kwok", "sigs.k8s.io/kwok", "sigs.k8s.io/kwok/cmd/kwok"),
    HELM,
)


def ensure_binaries(report: Report, programs: Sequence[Program] = PROGRAMS) -> dict[str, Path]:
    """Returns each program's path; builds those that are neither cached nor brought along.

    ``KUBEBUILDER_ASSETS`` names a folder whose programs win over the cache's.

    Args:
        report: Receives a line for each program that is built.
        programs: What is wanted; the control plane by default.

    Raises:
        TestBedError: A build failed; the message has the end of its output.
    """
    paths = {program.name: _found(program) for program in programs}
    missing = [program for program in programs if not paths[program.name].exists()]
    if missing:
        with _lock(report):
            # Another run may have built them while this one waited.
            _build_all([program for program in missing if not program.cached.exists()], report)
    return paths


def module_folder(program: Program, report: Report) -> Path:
    """Returns the source of a program's module in Go's own cache, fetched where it is missing.

    ``go.sum`` holds its checksum as it does for a build.

    Raises:
        TestBedError: It could not be fetched.
    """
    go = find_go(report, program.oldest_go)
    done = subprocess.run(
        [str(go), "mod", "download", "-json", f"{program.module}@{program.version}"],
        cwd=MODULES / program.tool,
        env=go_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if done.returncode != 0:
        raise TestBedError(f"fetching {program.module} failed:\n{done.stdout}{done.stderr}")
    return Path(json.loads(done.stdout)["Dir"])


def _found(program: Program) -> Path:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    brought = Path(assets) / program.name if assets else None
    return brought if brought is not None and brought.exists() else program.cached


def _build_all(programs: Sequence[Program], report: Report) -> None:
    if not programs:
        return
    report(
        f"Building programs of the test bed into {cache_folder()}, once: {len(programs)} "
        "(the API's take about fifteen minutes on two cores, a node's about twenty) ..."
    )
    go = find_go(report, max(program.oldest_go for program in programs))
    for number, program in enumerate(programs, 1):
        report(f"  {number}/{len(programs)} {program.name} {program.version} ...")
        started = time.monotonic()
        _build(program, go, report)
        report(f"  {number}/{len(programs)} {program.name}: {time.monotonic() - started:.0f} s")


def _build(program: Program, go: Path, report: Report) -> None:
    """Builds under a temporary name first, so that what is in the cache is always whole."""
    target = program.cached
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    command = [str(go), "build", "-trimpath", "-ldflags", _link_flags(program)]
    command += ["-o", str(temporary), program.package]
    try:
        done = subprocess.run(
            command,
            cwd=MODULES / program.tool,
            env={**go_environment(), **program.environment(report)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_BUILD_SECONDS,
        )
        if done.returncode != 0:
            raise TestBedError(
                f"building {program.name} {program.version} failed "
                f"({' '.join(command)}, in {MODULES / program.tool}):\n{done.stdout[-3000:]}"
            )
        temporary.rename(target)
    finally:
        temporary.unlink(missing_ok=True)


def _link_flags(program: Program) -> str:
    flags = ["-s -w"]
    if program.tool == "kubernetes":
        major, minor = _release(program.version)
        stamps = {"gitVersion": program.version, "gitMajor": major, "gitMinor": minor}
        # Without them the server calls itself v0.0.0, and clients refuse it.
        flags += [f"-X k8s.io/component-base/version.{key}={stamps[key]}" for key in stamps]
    if program == HELM:
        # What charts are rendered for without a cluster: 1.20 unless it is told, too old for ours.
        major, minor = _release(kubernetes("kubectl").version)
        for package in ("lint/rules", "chartutil"):
            name = f"helm.sh/helm/v3/pkg/{package}.k8sVersion"
            flags += [f"-X {name}Major={major} -X {name}Minor={minor}"]
    return " ".join(flags)


def _release(version: str) -> tuple[str, str]:
    """Major and minor: ``v1.34.4`` -> 1, 34."""
    major, minor, _ = version.removeprefix("v").split(".")
    return major, minor


@contextmanager
def _lock(report: Report) -> Iterator[None]:
    """Holds the cache against a second build; the kernel lets go of it when this process ends."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / "build.lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("Waiting for another build of the API test bed ...")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield
