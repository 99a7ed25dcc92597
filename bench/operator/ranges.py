"""The bounds of the operator's figures: bench/operator_ranges.yaml."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from bench.figure import Figure

RANGES = Path(__file__).parents[1] / "operator_ranges.yaml"
COMMAND = "python -m bench operator"


def figures_of(runs: Sequence[Mapping[str, float]]) -> list[Figure]:
    """The mean of each figure over the runs that measured it, with its bound."""
    found = []
    for key, about in yaml.safe_load(RANGES.read_text("utf-8")).items():
        values = [run[key] for run in runs if key in run]
        if not values:
            raise KeyError(f"{RANGES.name} names {key}, which no run has measured")
        print(f"    {key}: {', '.join(f'{value:.3g}' for value in values)}", flush=True)
        least, most = about.get("atLeast"), about.get("atMost")
        goal = most if least is None else least
        figure = Figure(about["name"], statistics.mean(values), goal, least is not None, COMMAND)
        found.append(figure)
    return found


def p99(values: Sequence[float]) -> float:
    """The value that 99 of 100 do not exceed; of fewer than a hundred the highest."""
    return sorted(values)[max(0, -(-len(values) * 99 // 100) - 1)]
