"""The images that the node runs: built by buildah from Debian alone, kept as archives."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from api.custom_resource import ROOT
from api.toolchain import Report, TestBedError, cache_folder

BASE: Final = "localhost/cascade-test-base:bookworm"
PAUSE: Final = "localhost/pause:1"
OPERATOR: Final = "localhost/cascade-operator:test"
WORKER: Final = "localhost/cascade-operator-worker:test"
REDIS: Final = "localhost/redis:debian"
OLLAMA: Final = "localhost/ollama:test"
WEIGHTS: Final = "/weights"
"""Where Ollama's image has the models."""

_RECIPE: Final = 1
"""Raise it when an image is made in another way."""
_MIRROR: Final = "http://deb.debian.org/debian"
_PACKAGES: Final = "python3,python3-venv,ca-certificates"
_OLLAMA: Final = Path(__file__).parents[1] / "api" / "modules" / "ollama" / "go.mod"
_INPUTS: Final = ("Dockerfile", ".dockerignore", "pyproject.toml", "README.md", "LICENSE")


def ensure_images(report: Report) -> list[Path]:
    """Builds what is missing or older than its sources; returns the archives to import.

    Raises:
        TestBedError: A build failed; the message has the end of its output.
    """
    base = _base(report)
    return [
        _ensure("pause", _digest([]), report, _build_pause, [PAUSE]),
        _ensure("redis", _digest([]), report, lambda: _build_redis(base), [REDIS]),
        _ensure("operator", _sources(), report, lambda: _build_ours(base), [OPERATOR]),
        _ensure("worker", _sources(), report, lambda: _build_ours(base), [WORKER]),
    ]


def ensure_ollama(program: Path, weights: Path, report: Report) -> Path:
    """Builds an image with an Ollama and the weights of models; returns its archive.

    Raises:
        TestBedError: It failed; the message has the end of its output.
    """
    base = _base(report)
    digest = _digest([_OLLAMA, Path(__file__).with_name("weights.py")])

    def build() -> None:
        _build_ollama(base, program, weights)

    return _ensure("ollama", digest, report, build, [OLLAMA])


def _ensure(
    name: str, digest: str, report: Report, build: Callable[[], None], images: Sequence[str]
) -> Path:
    folder = cache_folder() / "images"
    archive = folder / f"{name}-{digest}.tar"
    if archive.exists():
        return archive
    report(f"Building the image {images[0]} ...")
    folder.mkdir(parents=True, exist_ok=True)
    build()
    temporary = archive.with_suffix(".partial")
    temporary.unlink(missing_ok=True)
    # Compressing and reading it again takes longer than writing it.
    _buildah("push", "--disable-compression", images[0], f"oci-archive:{temporary}:{images[0]}")
    for older in folder.glob(f"{name}-*.tar"):
        older.unlink()
    temporary.rename(archive)
    return archive


def _base(report: Report) -> str:
    """Python on Debian, as the public base image is; its name."""
    if _buildah("images", "--quiet", BASE, check=False).strip():
        return BASE
    report("Building a base image with debootstrap, once (one to three minutes) ...")
    with tempfile.TemporaryDirectory(prefix="cascade-base-") as temporary:
        root = Path(temporary) / "root"
        _run(["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm",
              str(root), _MIRROR])  # fmt: skip
        shutil.rmtree(root / "var" / "cache" / "apt", ignore_errors=True)
        _from_folder(root, BASE)
    return BASE


def _build_pause() -> None:
    """A sandbox's first process: it only waits."""
    with tempfile.TemporaryDirectory(prefix="cascade-pause-") as temporary:
        shutil.copy(shutil.which("busybox") or "/bin/busybox", Path(temporary) / "busybox")
        _from_folder(Path(temporary), PAUSE, "--entrypoint", '["/busybox", "sleep", "infinity"]')


def _build_redis(base: str) -> None:
    """Debian's Redis, which runs as any user in the folder that it is given."""
    name = _buildah("from", "--pull-never", base).strip()
    try:
        _buildah("run", "--network", "host", name, "--", "apt-get", "update", "-qq")
        install = "DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends"
        _buildah("run", "--network", "host", name, "--", "sh", "-c", f"{install} redis-server")
        _buildah("config", "--entrypoint", '["redis-server"]', "--workingdir", "/tmp", name)
        _buildah("commit", "--quiet", name, REDIS)
    finally:
        _buildah("rm", name)


def _build_ollama(base: str, program: Path, weights: Path) -> None:
    name = _buildah("from", "--pull-never", base).strip()
    try:
        _buildah("copy", "--quiet", name, str(program), "/usr/bin/ollama")
        _buildah("copy", "--quiet", name, str(weights), WEIGHTS)
        _buildah("config", "--entrypoint", '["ollama"]', "--workingdir", "/tmp", name)
        _buildah("commit", "--quiet", name, OLLAMA)
    finally:
        _buildah("rm", name)


def _build_ours(base: str) -> None:
    image = OPERATOR.split(":")[0]
    _run(["make", "--no-print-directory", "image", f"BASE={base}", f"IMAGE={image}", "TAG=test"],
         cwd=ROOT)  # fmt: skip


def _from_folder(folder: Path, image: str, *config: str) -> None:
    name = _buildah("from", "scratch").strip()
    try:
        _buildah("add", "--quiet", name, str(folder), "/")
        if config:
            _buildah("config", *config, name)
        _buildah("commit", "--quiet", name, image)
    finally:
        _buildah("rm", name)


def _sources() -> str:
    files = [ROOT / name for name in _INPUTS]
    files += sorted((ROOT / "requirements").glob("*.lock"))
    files += sorted(
        path
        for path in (ROOT / "operator").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    return _digest(files)


def _digest(files: Sequence[Path]) -> str:
    found = hashlib.sha256(f"{_RECIPE} {BASE}".encode())
    for path in files:
        found.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


def _buildah(*arguments: str, check: bool = True) -> str:
    return _run(["buildah", *arguments], check=check)


def _run(command: Sequence[str], *, cwd: Path | None = None, check: bool = True) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs"},
        capture_output=True,
        text=True,
        check=False,
        timeout=3000,
    )
    if check and done.returncode != 0:
        output = f"{done.stdout[-1500:]}\n{done.stderr[-1500:]}"
        raise TestBedError(f"{' '.join(command)} failed:\n{output}")
    return done.stdout
