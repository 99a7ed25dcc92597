"""Stages 18, 19 and 84: reads a trace file, puts bad rows aside, drops repeated ones."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from cascade_operator.api.errors import DataError
from cascade_operator.traces.record import NodeFields, Rejected, TraceRecord, TraceSet
from cascade_operator.traces.row import BadRowError, parse_row
from cascade_operator.traces.source import RawRow, open_rows

_NAMED_ROWS: Final = 10
# Past this many, more reasons help nobody and would only take memory.
_KEPT_REJECTIONS: Final = 10_000
_MAX_REASON: Final = 300


class _Intake:
    """Collects the rows of one file: good ones once, bad ones with their reason."""

    def __init__(self, nodes: Mapping[str, NodeFields]) -> None:
        self._nodes = nodes
        self._hash_by_id: dict[str, str] = {}
        self._hashes: set[str] = set()
        self.records: list[TraceRecord] = []
        self.rejected: list[Rejected] = []
        self.rows = 0
        self.bad = 0
        self.duplicates = 0

    def take(self, raw: RawRow) -> None:
        self.rows += 1
        try:
            if raw.problem:
                raise BadRowError(raw.problem)
            record = parse_row(raw.values, self._nodes)
            if self._is_new(record):
                self.records.append(record)
            else:
                self.duplicates += 1
        except BadRowError as error:
            self.bad += 1
            if len(self.rejected) < _KEPT_REJECTIONS:
                name = _shown_id(raw.values.get("record_id"))
                self.rejected.append(Rejected(raw.row, name, str(error)[:_MAX_REASON]))

    def _is_new(self, record: TraceRecord) -> bool:
        known = self._hash_by_id.get(record.record_id)
        if known is not None and known != record.content_hash:
            raise BadRowError("another record of this file has the same record_id")
        self._hash_by_id[record.record_id] = record.content_hash
        if record.content_hash in self._hashes:
            return False
        self._hashes.add(record.content_hash)
        return True


def read_traces(
    path: Path,
    *,
    nodes: Mapping[str, NodeFields],
    max_records: int | None = None,
    max_invalid_percent: float = 5.0,
) -> TraceSet:
    """Reads a trace file, parquet or JSONL, in bounded batches.

    Args:
        path: The file.
        nodes: The fields of each node of the cascade; rows must hold them all.
        max_records: Stop after this many usable records; None takes all.
        max_invalid_percent: How many of the rows read may be bad, in percent.

    Raises:
        DataError: The file cannot be read, holds no usable record, or too many bad ones.
        MemoryGateReached: Memory ended while parquet was read.
    """
    intake = _Intake(nodes)
    with closing(open_rows(path)) as rows:
        for raw in rows:
            intake.take(raw)
            if max_records is not None and len(intake.records) >= max_records:
                break
    _check_share(path, intake, max_invalid_percent)
    if not intake.records:
        raise DataError(f"{path} holds no record", mend="Give at least three validated traces.")
    return TraceSet(
        tuple(intake.records), tuple(intake.rejected), intake.duplicates, bad=intake.bad
    )


def read_one(
    path: Path, record_id: str, *, nodes: Mapping[str, NodeFields] | None = None
) -> TraceRecord:
    """Reads one record by its name.

    Args:
        path: The trace file.
        record_id: The record's name.
        nodes: The nodes whose fields it must hold; none by default.

    Raises:
        DataError: The file cannot be read, has no such record, or the record is bad.
    """
    with closing(open_rows(path)) as rows:
        found = next((raw for raw in rows if raw.values.get("record_id") == record_id), None)
    if found is None:
        raise DataError(
            f"{path} has no record named {_shown_id(record_id)}",
            mend="`cascade traces validate` shows what the file holds.",
        )
    try:
        if found.problem:
            raise BadRowError(found.problem)
        return parse_row(found.values, nodes or {})
    except BadRowError as error:
        raise DataError(
            f"{path}, row {found.row}, record {_shown_id(record_id)}: {error}",
            mend="Mend this row.",
        ) from None


def _check_share(path: Path, intake: _Intake, max_invalid_percent: float) -> None:
    # A file without one usable row must say why, whatever share is allowed.
    allowed = bool(intake.records) and 100.0 * intake.bad <= max_invalid_percent * intake.rows
    if not intake.bad or allowed:
        return
    named = "\n".join(
        f"  row {bad.row} {bad.record_id}: {bad.reason}" for bad in intake.rejected[:_NAMED_ROWS]
    )
    raise DataError(
        f"{path}: {intake.bad} of {intake.rows} rows are bad, over the "
        f"{max_invalid_percent:g} % that are allowed. The first ones:\n{named}",
        mend="Mend these rows, or raise spec.traces.maxInvalidPercent.",
    )


def _shown_id(value: Any) -> str:
    """A name fit for one line of a log, whatever the file holds."""
    if not isinstance(value, str) or not value:
        return "(no record_id)"
    return ascii(value[:80])[1:-1]
