"""helm for the chart's tests: the machine's own where it is one that does, else built once."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from api.ahead import any_uses, build_ahead, taken
from api.binaries import HELM, ensure_binaries
from api.toolchain import TestBedError
from chart.helm import Helm

_FOUND = pytest.StashKey[Path | TestBedError]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Builds helm, where a test asks for it."""
    if any_uses(session, "helm"):
        build_ahead(
            session, _FOUND, lambda report: _own() or ensure_binaries(report, [HELM])[HELM.name]
        )


def _own() -> Path | None:
    """The machine's helm, where it is of the version that snapshots are made with."""
    path = shutil.which("helm")
    if path is None:
        return None
    done = subprocess.run(
        [path, "version", "--template={{.Version}}"], capture_output=True, text=True, check=False
    )
    wanted = re.match(r"v\d+\.\d+", HELM.version)
    same = wanted is not None and done.stdout.startswith(f"{wanted[0]}.")
    return Path(path) if same else None


@pytest.fixture(scope="session")
def helm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Renders, lints and installs the chart."""
    return Helm(taken(request.config, _FOUND), tmp_path_factory.mktemp("helm"))
