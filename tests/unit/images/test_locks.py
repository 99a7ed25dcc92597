"""What the images hold: pinned as in development, and nothing of training in the operator's."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
REQUIREMENTS = ROOT / "requirements"
PIN = re.compile(r"^([a-z0-9.-]+)==(\S+)(?: ;.*)? \\$", re.M)


def _pins(name):
    return {(pin[1], pin[2]) for pin in PIN.finditer((REQUIREMENTS / name).read_text())}


@pytest.mark.parametrize("lock", ["operator.lock", "worker.lock", "build.lock"])
def test_an_image_holds_what_development_has_tested(lock):
    pins = _pins(lock)
    assert pins
    assert pins <= _pins("dev.lock")


def test_the_traces_data_is_developments():
    assert _pins("traces.lock") < _pins("data.lock")


def test_the_operators_image_has_no_training_package():
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (forbidden,) = (
        contract["forbidden_modules"]
        for contract in layers["contracts"]
        if contract["name"] == "The operator's process loads no training package"
    )
    packages = {"umap": "umap-learn"}
    names = {packages.get(module, module) for module in forbidden}
    assert names < {name for name, _ in _pins("worker.lock")} | {"ollama"}
    assert not names & {name for name, _ in _pins("operator.lock")}


@pytest.mark.parametrize("lock", sorted(path.name for path in REQUIREMENTS.glob("*.lock")))
def test_no_lock_names_an_index(lock):
    assert "://" not in (REQUIREMENTS / lock).read_text()


def test_each_requirement_of_an_extra_is_in_its_images_lock():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra in ("operator", "worker"):
        wanted = [*project["dependencies"], *project["optional-dependencies"][extra]]
        names = {re.match(r"[A-Za-z0-9-]+", one)[0] for one in wanted}
        assert names <= {name for name, _ in _pins(f"{extra}.lock")}
