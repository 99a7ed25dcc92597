"""The process that reads a parquet file of traces: bounded in memory and time, free to die.

A few bytes of a parquet file can stand for gigabytes, and on some damaged ones the library ends
its process. It writes one JSON document a line: ``{"row": {...}}`` for each row, with a
``"problem"`` where it could not be read whole, then ``{"end": rows}``, or ``{"error": why, "mend":
what to do}`` where reading ended.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from cascade_operator.resources.bounds import bound_process
from cascade_operator.traces.columns import CHAIN_COLUMNS, NEEDED, OPTIONAL_COLUMNS, TEXT_COLUMNS
from cascade_operator.traces.row import MAX_ROW_BYTES

DATA_BYTES: Final = 1 << 30
"""The most memory this process may take."""

_PROCESSOR_SECONDS: Final = 600
# Decoding more at once is hardly faster, and rows may hold megabytes.
_BATCH_ROWS: Final = 16
_BATCH_BYTES: Final = 32 << 20
_BUFFER_BYTES: Final = 1 << 20
_SHOWN_BYTES: Final = 4096
_MOST_LONG_ROWS: Final = 1000
_TOO_LONG: Final = f"longer than {MAX_ROW_BYTES} bytes"
_THRIFT_BYTES: Final = 64 << 20
_REWRITE: Final = "Write the file again; `cascade traces import` makes one to compare with."


class _UnusableError(Exception):
    """The file cannot be used; ``mend`` says what to do."""

    def __init__(self, problem: str, mend: str) -> None:
        super().__init__(problem)
        self.mend = mend


def main() -> None:
    """Reads the file that the command line names."""
    # The reader ends this process by closing the pipe; signals are for the reader alone.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    bound_process(data_bytes=DATA_BYTES, processor_seconds=_PROCESSOR_SECONDS)
    read_to(sys.stdout.buffer, sys.argv[1])


def read_to(out: BinaryIO, path: str) -> None:
    """Writes the rows of a file; what fails is written, too, not raised."""
    rows = 0
    try:
        for line in _rows(path):
            out.write(line)
            rows += 1
        last: dict[str, Any] = {"end": rows}
    except _UnusableError as error:
        last = {"error": str(error), "mend": error.mend}
    except MemoryError:
        last = {
            "error": f"needs more than {DATA_BYTES >> 20} MiB to be read, {rows} rows into it",
            "mend": "Write it with rows and row groups that are smaller.",
        }
    except (pa.ArrowException, OSError, ValueError) as error:
        last = {"error": f"is damaged: {_first_line(error)}", "mend": _REWRITE}
    out.write(json.dumps(last).encode() + b"\n")
    out.flush()


def _rows(path: str) -> Iterator[bytes]:
    with pq.ParquetFile(
        path,
        buffer_size=_BUFFER_BYTES,
        thrift_string_size_limit=_THRIFT_BYTES,
        thrift_container_size_limit=_THRIFT_BYTES,
    ) as file:
        columns = _check_columns(file.schema_arrow)
        batches = file.iter_batches(
            batch_size=_batch_rows(file.metadata), columns=columns, use_threads=False
        )
        long = 0
        for batch in batches:
            for place in range(batch.num_rows):
                row = batch.slice(place, 1)
                # A list of one repeated number may be far larger here than in the file.
                if row.nbytes <= MAX_ROW_BYTES:
                    yield _line(row)
                    continue
                long += 1
                if long > _MOST_LONG_ROWS:
                    raise _UnusableError(
                        f"has over {_MOST_LONG_ROWS} rows {_TOO_LONG}", "Leave these rows out."
                    )
                yield _problem(row, _TOO_LONG)


def _batch_rows(meta: Any) -> int:
    """Rows to decode at once: fewer where rows are declared to be long."""
    groups = [meta.row_group(place) for place in range(meta.num_row_groups)]
    average = max((group.total_byte_size // max(1, group.num_rows) for group in groups), default=0)
    return int(max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(1, average))))


def _line(row: Any) -> bytes:
    """One row as a line. A cell that no JSON can hold must cost this row only."""
    try:
        (values,) = row.to_pylist()
    except UnicodeDecodeError:
        return _problem(row, "not UTF-8")
    except ValueError as error:
        return _problem(row, _first_line(error))
    try:
        text = json.dumps({"row": values}, ensure_ascii=False)
    except TypeError as error:
        name = next((n for n, value in values.items() if not _is_json(value)), "a column")
        return _problem(row, f"{name} holds what JSON cannot: {_first_line(error)}")
    line = text.encode("utf-8", "surrogatepass") + b"\n"
    return line if len(line) <= MAX_ROW_BYTES else _problem(row, _TOO_LONG)


def _problem(row: Any, why: str) -> bytes:
    answer = {"problem": why, "row": {"record_id": _record_id(row)}}
    return json.dumps(answer).encode() + b"\n"


def _record_id(row: Any) -> str | None:
    cells = row.column("record_id")
    try:
        return None if cells.nbytes > _SHOWN_BYTES else str(cells[0].as_py())[:80]
    except ValueError:
        return None


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True


def _check_columns(schema: pa.Schema) -> list[str]:
    if missing := [name for name in NEEDED if name not in schema.names]:
        raise _UnusableError(
            f"lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}",
            f"Trace files need the columns {', '.join(NEEDED)}.",
        )
    present = [*NEEDED, *(name for name in OPTIONAL_COLUMNS if name in schema.names)]
    for name in present:
        if schema.names.count(name) > 1:
            raise _UnusableError(f"has the column {name} twice", f"Write {name} once.")
        found = schema.field(name).type
        if name in TEXT_COLUMNS:
            good, wanted = _is_text(found), "string"
        elif name in CHAIN_COLUMNS:
            good, wanted = _is_chain(found), "map<string, string>"
        else:
            good, wanted = _is_keyed(found), "map"
        if not good and not pa.types.is_null(found):
            raise _UnusableError(
                f"has the column {name} of type {found}, not {wanted}", f"Write {name} as {wanted}."
            )
    return present


def _is_text(found: pa.DataType) -> bool:
    if pa.types.is_dictionary(found):
        found = found.value_type
    return bool(
        pa.types.is_string(found)
        or pa.types.is_large_string(found)
        or pa.types.is_string_view(found)
    )


def _is_keyed(found: pa.DataType) -> bool:
    return bool((pa.types.is_map(found) and _is_text(found.key_type)) or pa.types.is_struct(found))


def _is_chain(found: pa.DataType) -> bool:
    """A map from node to text; also a struct of nodes, which pyarrow makes of plain dicts."""
    if not _is_keyed(found):
        return False
    if pa.types.is_map(found):
        kinds = [found.item_type]
    else:
        kinds = [found.field(place).type for place in range(found.num_fields)]
    return all(
        _is_text(kind) or pa.types.is_struct(kind) or pa.types.is_null(kind) for kind in kinds
    )


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:200]


if __name__ == "__main__":
    main()
