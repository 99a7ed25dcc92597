"""Stage 11: which records train, which select, and which are held out.

A record's place is a salted hash of its key alone, so it does not depend on what else the file
holds, and a file that grows moves nobody. Only a split that would be empty takes from another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from cascade_operator.api.errors import DataError
from cascade_operator.traces.record import Split, TraceRecord


def split_records(
    records: Sequence[TraceRecord],
    *,
    validation_fraction: float,
    held_out_fraction: float,
    salt: str,
) -> dict[str, Split]:
    """Assigns every record to one split.

    Args:
        records: The records; those with one ``group_key`` stay together.
        validation_fraction: Expected share that selects, 0 to 1.
        held_out_fraction: Expected share that is held out, 0 to 1. The rest trains.
        salt: Another salt gives another split.

    Returns:
        Each record's split by ``record_id``. A split with a fraction above 0 is never empty.

    Raises:
        DataError: There are fewer distinct keys than splits to fill.
        ValueError: The fractions leave nothing to train on.
    """
    intervals = _intervals(validation_fraction, held_out_fraction)
    places = {key: _place(key, salt) for key in {record.split_key for record in records}}
    if len(places) < len(intervals):
        raise DataError(
            f"{len(records)} usable traces make {len(places)} groups that can be split, and "
            f"{len(intervals)} splits need at least one each",
            mend=f"Give at least {len(intervals)} records that differ in content "
            "(or in group_key, where it is used).",
        )
    chosen = {key: _interval_of(place, intervals) for key, place in places.items()}
    _fill_empty(chosen, places, intervals)
    return {record.record_id: chosen[record.split_key] for record in records}


def _intervals(validation: float, held_out: float) -> dict[Split, tuple[float, float]]:
    if min(validation, held_out) < 0 or validation + held_out >= 1:
        raise ValueError(
            f"validation {validation} and held-out {held_out} leave nothing to train on"
        )
    # Held-out first: its records stay the same whatever becomes of the validation fraction.
    bounds = {
        Split.HELD_OUT: (0.0, held_out),
        Split.VALIDATION: (held_out, held_out + validation),
        Split.TRAINING: (held_out + validation, 1.0),
    }
    return {split: (low, high) for split, (low, high) in bounds.items() if high > low}


def _place(key: str, salt: str) -> float:
    """A number in [0, 1) with 53 bits, as many as a float can tell apart."""
    digest = hashlib.sha256(f"{salt}\0{key}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2.0**53


def _interval_of(place: float, intervals: Mapping[Split, tuple[float, float]]) -> Split:
    return next(split for split, (low, high) in intervals.items() if low <= place < high)


def _fill_empty(
    chosen: dict[str, Split],
    places: Mapping[str, float],
    intervals: Mapping[Split, tuple[float, float]],
) -> None:
    """Gives each empty split the nearest key of a split that has more than one."""
    for split, (low, high) in intervals.items():
        members = list(chosen.values())
        if split in members:
            continue
        spare = [key for key, owner in chosen.items() if members.count(owner) > 1]
        nearest = min(
            spare, key=lambda key: (max(low - places[key], places[key] - high), places[key], key)
        )
        chosen[nearest] = split
