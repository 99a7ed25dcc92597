"""Stage 84: opens a trace file and hands out its raw rows, a bounded batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cascade_operator.api.errors import DataError
from cascade_operator.traces.row import MAX_TEXT_BYTES, parse_json

if TYPE_CHECKING:
    from types import ModuleType

_MAGIC: Final = b"PAR1"
_BATCH_ROWS: Final = 128
# Two chains of JSON, the validated fields and the vectors of one record.
_MAX_LINE_BYTES: Final = 8 * MAX_TEXT_BYTES

REQUIRED_COLUMNS: Final = ("record_id", "agent_chain_inputs", "agent_chain_outputs")
VALIDATED_COLUMN: Final = "validated_json"
_TEXT_COLUMNS: Final = ("record_id", "validated_json", "group_key")
_CHAIN_COLUMNS: Final = ("agent_chain_inputs", "agent_chain_outputs")
_OPTIONAL_COLUMNS: Final = (
    "agent_chain_metrics",
    "group_key",
    "input_embeddings",
    "output_embeddings",
)
_REWRITE: Final = "Write the file again; `cascade traces import` makes one to compare with."


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as the file has it.

    Attributes:
        row: Its place, from 1; in JSONL the line.
        values: The columns that it has, unchecked.
        problem: Why it could not be read at all; empty where it could.
    """

    row: int
    values: dict[str, Any] = field(default_factory=dict)
    problem: str = ""


def open_rows(path: Path) -> Iterator[RawRow]:
    """Yields the rows of a trace file, parquet or JSONL (told apart by the first bytes).

    Raises:
        DataError: The file is missing, empty, cut off, of another format, or lacks a column.
    """
    head = _first_bytes(path)
    if head == _MAGIC:
        return _parquet_rows(path)
    if path.suffix.lower() in {".parquet", ".pq"}:
        raise DataError(f"{path} is not a parquet file: it lacks the format's mark", mend=_REWRITE)
    return _jsonl_rows(path)


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(len(_MAGIC))
    except FileNotFoundError:
        raise DataError(
            f"{path} does not exist",
            mend="Check spec.traces: the claim, and the path of the file on it.",
        ) from None
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}",
            mend="Name a trace file (parquet or JSONL) that this user may read.",
        ) from None
    if not head:
        raise DataError(f"{path} is empty", mend=_REWRITE)
    return head


def _jsonl_rows(path: Path) -> Iterator[RawRow]:
    with path.open("rb") as file:
        for row, line in enumerate(_lines(file), start=1):
            if not line.strip():
                continue
            if len(line) > _MAX_LINE_BYTES:
                yield RawRow(row, problem=f"longer than {_MAX_LINE_BYTES} bytes")
                continue
            try:
                values = parse_json(line.decode("utf-8-sig"))
            except ValueError as error:
                if row == 1 and b"\0" in line:
                    raise DataError(
                        f"{path} is neither parquet nor JSON lines", mend=_REWRITE
                    ) from None
                if not line.endswith(b"\n"):
                    raise DataError(
                        f"{path} is cut off: line {row}, its last, ends inside a record",
                        mend=_REWRITE,
                    ) from None
                yield RawRow(row, problem=f"not JSON: {error}")
                continue
            if isinstance(values, dict):
                yield RawRow(row, values)
            else:
                yield RawRow(row, problem="not a JSON object")


def _lines(file: Any) -> Iterator[bytes]:
    """Lines in bounded memory: of a line over the bound only a beginning is handed out."""
    while line := file.readline(_MAX_LINE_BYTES + 1):
        rest = line
        while len(rest) > _MAX_LINE_BYTES and not rest.endswith(b"\n"):
            rest = file.readline(_MAX_LINE_BYTES + 1)
        yield line


def _parquet_rows(path: Path) -> Iterator[RawRow]:
    # Here, not above: a group's worker reads the store and must not load pyarrow (66 MB).
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with pq.ParquetFile(path) as file:
            columns = _check_columns(path, file.schema_arrow, pa)
            row = 0
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=columns):
                for values in _batch_values(batch):
                    row += 1
                    if isinstance(values, str):
                        yield RawRow(row, problem=values)
                    else:
                        yield RawRow(row, values)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} {_damage(path, error)}", mend=_REWRITE) from None


def _damage(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        file.seek(-min(len(_MAGIC), path.stat().st_size), 2)
        tail = file.read()
    if tail != _MAGIC:
        return "is cut off: it starts as parquet but lacks its end"
    return f"is damaged: {str(error).splitlines()[0][:200]}"


def _batch_values(batch: Any) -> Iterator[dict[str, Any] | str]:
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        # One bad cell must cost one row, so the rows are read singly.
        for place in range(batch.num_rows):
            try:
                yield batch.slice(place, 1).to_pylist()[0]
            except UnicodeDecodeError:
                yield "not UTF-8"


def _check_columns(path: Path, schema: Any, pa: ModuleType) -> list[str]:
    names = (*REQUIRED_COLUMNS, VALIDATED_COLUMN)
    if missing := [name for name in names if name not in schema.names]:
        raise DataError(
            f"{path} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}",
            mend=f"Trace files need the columns {', '.join(names)}.",
        )
    present = [*names, *(name for name in _OPTIONAL_COLUMNS if name in schema.names)]
    for name in present:
        found = schema.field(name).type
        if name in _TEXT_COLUMNS:
            good, wanted = _is_text(found, pa), "string"
        elif name in _CHAIN_COLUMNS:
            good, wanted = _is_chain(found, pa), "map<string, string>"
        else:
            good, wanted = _is_keyed(found, pa), "map"
        if not good and not pa.types.is_null(found):
            raise DataError(
                f"{path}: column {name} has type {found}, not {wanted}",
                mend=f"Write {name} as {wanted}.",
            )
    return present


def _is_text(found: Any, pa: ModuleType) -> bool:
    if pa.types.is_dictionary(found):
        found = found.value_type
    return bool(
        pa.types.is_string(found)
        or pa.types.is_large_string(found)
        or pa.types.is_string_view(found)
    )


def _is_keyed(found: Any, pa: ModuleType) -> bool:
    return bool(pa.types.is_map(found) or pa.types.is_struct(found))


def _is_chain(found: Any, pa: ModuleType) -> bool:
    """A map from node to text; also a struct of nodes, which pyarrow makes of plain dicts."""
    if pa.types.is_map(found):
        kinds = [found.item_type]
    elif pa.types.is_struct(found):
        kinds = [found.field(place).type for place in range(found.num_fields)]
    else:
        return False
    return all(
        _is_text(kind, pa) or pa.types.is_struct(kind) or pa.types.is_null(kind) for kind in kinds
    )
