"""A run in a few figures: the tiles at the head of its report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cascade_operator.monitoring.figures import memory_text, seconds_text
from cascade_operator.report import wording
from cascade_operator.report.calls import asked, saved, total_calls
from cascade_operator.report.memory import memory_over_time
from cascade_operator.report.model import Interval, ReportData


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure: what it is, its value, and a line below.

    Attributes:
        tone: ``good`` or ``bad`` where there is evidence of it.
    """

    name: str
    value: str
    detail: str = ""
    tone: Literal["", "good", "bad"] = ""


def tiles(data: ReportData) -> tuple[Tile, ...]:
    """Returns the figures that are known."""
    found = []
    best = data.best
    if best is not None:
        found.append(
            Tile(
                "Validation gain",
                wording.gain(best.gain),
                f"{wording.mean(best.baseline)} → {wording.mean(best.best)}, group {best.letters}",
                _tone(best.gain),
            )
        )
        if best.held_out_gain is not None:
            found.append(
                Tile(
                    "Held-out gain",
                    wording.gain(best.held_out_gain),
                    f"{wording.mean(best.baseline_held_out)} → {wording.mean(best.held_out)}"
                    + _doubt(best.held_out_gain),
                    _tone(best.held_out_gain),
                )
            )
    done = sum(group.calls is not None or _succeeded(group.ended) for group in data.groups)
    failed = sum(group.failed for group in data.groups)
    found.append(
        Tile(
            "Groups done",
            f"{done} of {len(data.groups)}",
            f"{failed} failed" if failed else f"{sum(g.trials for g in data.groups):,} trials",
            "bad" if failed else "",
        )
    )
    if (calls := total_calls(data)) is not None:
        found.append(
            Tile(
                "Model calls",
                wording.thousands(calls.model_calls),
                f"{wording.share(saved(calls), asked(calls))} of {asked(calls):,} saved",
            )
        )
    if data.seconds is not None:
        found.append(Tile("Duration", seconds_text(data.seconds), _started(data)))
    if peak := memory_over_time(data.attempts).peak:
        largest = max(attempt.peak for attempt in data.attempts)
        found.append(Tile("Peak memory", memory_text(peak), f"one Job {memory_text(largest)}"))
    return tuple(found)


def _succeeded(ended: str) -> bool:
    return ended in {"Converged", "Exhausted", "MaxTrials", "Succeeded"}


def _tone(one: Interval | None) -> Literal["", "good", "bad"]:
    if one is None or not one.evidence:
        return ""
    return "good" if one.value > 0 else "bad"


def _doubt(one: Interval) -> str:
    return "" if one.low is None or one.evidence else ", no evidence"


def _started(data: ReportData) -> str:
    return "" if data.started is None else f"from {data.started:%Y-%m-%d %H:%M} UTC"
