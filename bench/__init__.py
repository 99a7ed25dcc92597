"""Benchmarks: each measures ratios within one run, and holds them against a goal."""

import sys
from pathlib import Path

# The scripted model server of the tests serves benchmarks, too.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
