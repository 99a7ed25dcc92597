"""Sets of tests side by side: what fails at first is tried once more; what is broken fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SIDE_BY_SIDE = Path(__file__).parents[2] / "side_by_side.py"
STEADY = "def test_steady(): pass\n"
BROKEN = "def test_broken(): assert False\n"
# Fails as long as the file beside it is missing, which it then makes.
UNSTEADY = """
import pathlib
def test_unsteady():
    seen = pathlib.Path(__file__).with_suffix(".seen")
    found = seen.exists()
    seen.touch()
    assert found
"""


@pytest.fixture
def run(tmp_path):
    """Runs sets, each a file of these tests; returns the exit status and what is shown."""

    def sets(*texts):
        words = []
        for number, text in enumerate(texts):
            (tmp_path / f"test_{number}.py").write_text(text, encoding="utf-8")
            words += ["--", f"test_{number}.py", "--quiet"]
        done = subprocess.run(
            [sys.executable, str(SIDE_BY_SIDE), *words[1:]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout

    return sets


def test_what_passes_is_run_once(run):
    code, shown = run(STEADY, STEADY)
    assert code == 0
    assert (shown.count("1 passed"), "nce more" in shown) == (2, False)


def test_what_passes_alone_is_named_and_is_no_failure(run):
    code, shown = run(STEADY, UNSTEADY + STEADY)
    assert code == 0
    assert "1 failed, 1 passed" in shown
    assert shown.endswith("Failed at first, and passed alone:\n  test_1.py::test_unsteady\n")


@pytest.mark.parametrize(
    ("first", "second"),
    [(BROKEN, STEADY), (STEADY, BROKEN), (UNSTEADY + BROKEN, STEADY)],
    ids=["the-first-set", "another-set", "beside-an-unsteady-one"],
)
def test_what_is_broken_fails_twice(run, first, second):
    code, shown = run(first, second)
    assert code == 1
    assert shown.count("FAILED test_") >= 2
    assert "passed alone" not in shown


def test_after_an_interrupt_nothing_is_tried_again(run):
    code, shown = run("def test_stopped(): raise KeyboardInterrupt\n", UNSTEADY)
    assert code == 2
    assert "nce more" not in shown


@pytest.mark.parametrize(
    "text",
    ["".join(BROKEN.replace("broken", f"n{i}") for i in range(4)), "def test_x(:\n"],
    ids=["many", "not-python"],
)
def test_many_failures_and_what_is_no_failed_test_are_not_tried_again(run, text):
    code, shown = run(text)
    assert code != 0
    assert "nce more" not in shown
