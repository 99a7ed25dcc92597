"""The programs of a real node, built from Go modules as the control plane's are."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from api.binaries import Program, kubernetes
from api.toolchain import Report, cache_folder
from cluster.packages import fetch_from_pypi

MINIAUDIO: Final = "1.71"
"""The release of PyPI's ``miniaudio`` whose source has the C header that Ollama's module lacks."""


def _ollama_environment(report: Report) -> Mapping[str, str]:
    """A C compiler's flags; without those of the machine the code has no SIMD.

    The module's archive lacks the headers it vendors: two are Debian's ``nlohmann-json3-dev`` and
    ``libstb-dev``, the third is fetched.
    """
    flags = f"-I{_headers(report)} -O2 -mavx2 -mfma -mf16c"
    return {"CGO_ENABLED": "1", "CGO_CFLAGS": flags, "CGO_CXXFLAGS": flags}


def _headers(report: Report) -> Path:
    folder = cache_folder() / f"miniaudio-{MINIAUDIO}"
    target = folder / "miniaudio" / "miniaudio.h"
    if target.exists():
        return folder
    report("Fetching a header of Ollama's from PyPI (miniaudio) ...")
    with tempfile.TemporaryDirectory(prefix="cascade-miniaudio-") as temporary:
        source = ("--no-binary=:all:", "--no-build-isolation")
        fetched = fetch_from_pypi(f"miniaudio=={MINIAUDIO}", Path(temporary), *source)
        with tarfile.open(fetched) as archive:
            member = archive.extractfile(f"miniaudio-{MINIAUDIO}/miniaudio/miniaudio.h")
            assert member is not None, "miniaudio.h is not a file"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(member.read())
    return folder


KUSTOMIZE_CONTROLLER: Final = Program(
    "kustomize-controller",
    "kustomize-controller",
    "github.com/fluxcd/kustomize-controller",
    "github.com/fluxcd/kustomize-controller",
)

SOURCE_CONTROLLER: Final = Program(
    "source-controller",
    "source-controller",
    "github.com/fluxcd/source-controller",
    "github.com/fluxcd/source-controller",
)
"""Never built: its module has the definitions of sources, and a test plays it."""

NODE_PROGRAMS: Final = (
    kubernetes("kubelet"),
    kubernetes("kube-proxy"),
    Program("coredns", "coredns", "github.com/coredns/coredns", "."),
    KUSTOMIZE_CONTROLLER,
)

OLLAMA: Final = Program(
    "ollama",
    "ollama",
    "github.com/ollama/ollama",
    "github.com/ollama/ollama",
    _ollama_environment,
)
