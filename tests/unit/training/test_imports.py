from __future__ import annotations

import subprocess
import sys

import pytest

LOADED = """
import sys, importlib
for name in sys.argv[2:]:
    importlib.import_module(name)
heavy = sorted(set(sys.argv[1].split(",")) & set(sys.modules))
print(",".join(heavy))
"""
PURE = ("search", "metric", "lattice", "budget", "attribution", "checkpoint", "outcome")
GROUP_SIDE = (*PURE, "evaluate", "pool", "warm_start", "propose")


@pytest.mark.process
@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        pytest.param(PURE, "umap,pyarrow,litellm,numba,optuna,dspy", id="the search itself"),
        pytest.param(GROUP_SIDE, "umap,pyarrow,litellm,numba,optuna", id="a group worker"),
    ],
)
def test_nothing_heavy_is_loaded_by_an_import(modules: tuple[str, ...], heavy: str) -> None:
    names = [f"cascade_operator.training.{module}" for module in modules]
    done = subprocess.run(
        [sys.executable, "-c", LOADED, heavy, *names],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.strip() == ""
