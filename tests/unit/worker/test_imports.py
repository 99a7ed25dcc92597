"""A group's worker starts in a moment and stays small: most of a run's processes are groups."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOADED = """
import importlib, sys
for name in sys.argv[2:]:
    importlib.import_module(name)
print(",".join(sorted(set(sys.argv[1].split(",")) & set(sys.modules))))
"""


@pytest.mark.process
@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        (["main"], "dspy,umap,pyarrow,litellm,numba,optuna,psycopg"),
        (["main", "group"], "umap,pyarrow,litellm,numba,sklearn,scipy,pandas,matplotlib"),
        (["main", "archive"], "umap,litellm,numba,matplotlib"),
    ],
    ids=["the-command", "a-group", "an-archive"],
)
def test_what_a_worker_does_not_load(modules, heavy):
    names = [f"cascade_operator.worker.{module}" for module in modules]
    done = subprocess.run(
        [sys.executable, "-c", LOADED, heavy, *names],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.strip() == ""
