"""Tables in an archive: Parquet, the same bytes each time, read within bounds.

float16 columns use BYTE_STREAM_SPLIT below zstd-3: embeddings hardly compress, and of what was
measured this is both the smallest and among the fastest. Nothing is dictionary-encoded, strings
neither: ids and hashes are distinct, and a reader that refuses dictionaries cannot be made to
expand a few bytes into gigabytes of repeats.

What a footer declares is checked first, but pages may say otherwise, and pyarrow aborts the whole
process on some malformed footers. So bytes from outside are decoded in a process that may die.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from cascade_operator.api.canonical import canonical_json
from cascade_operator.archive.errors import MalformedError
from cascade_operator.archive.members import GIB, KIB, MIB, Limits
from cascade_operator.archive.model import HalfMatrix, NodeMatrices, SplitRow, TrialRow

_LEVEL: Final = 3
_ROWS_A_GROUP: Final = 16 * KIB
_MAX_ROW_GROUPS: Final = 1024
_MAX_TABLE_BYTES: Final = 2 * GIB
_ENCODINGS: Final = {"PLAIN", "RLE", "BIT_PACKED", "BYTE_STREAM_SPLIT"}
_CODECS: Final = {"ZSTD", "UNCOMPRESSED"}
_MATRICES: Final = ("in_red", "in_raw", "out_red", "out_raw", "validated_raw")
_REQUIRED_MATRICES: Final = _MATRICES[:4]

Buffer = bytes | bytearray
Column = list[str] | npt.NDArray[Any]
Columns = Mapping[str, Column]


class TableKind(StrEnum):
    """The tables of an archive."""

    SPLIT = "split"
    TRIALS = "trials"
    MATRICES = "matrices"


def dump_split(rows: Sequence[SplitRow]) -> bytes:
    """Returns ``11_split.parquet``, in the order given."""
    return _dump(
        {
            "record_id": [row.record_id for row in rows],
            "content_hash": [row.content_hash for row in rows],
            "split": [row.split for row in rows],
        },
        _fields(TableKind.SPLIT),
    )


def dump_trials(trials: Sequence[TrialRow]) -> bytes:
    """Returns ``57_trials.parquet``, in the order given; the choice is canonical JSON."""
    columns: dict[str, list[Any]] = {
        name: [getattr(trial, name) for trial in trials] for name, _ in _fields(TableKind.TRIALS)
    }
    columns["choice"] = [canonical_json(dict(choice)) for choice in columns["choice"]]
    return _dump(columns, _fields(TableKind.TRIALS))


def dump_matrices(matrices: NodeMatrices) -> bytes:
    """Returns ``54_io_matrix/<node>.parquet``: a row a record, a list column a matrix.

    Raises:
        MalformedError: As ``write_matrices``.
    """
    out = io.BytesIO()
    write_matrices(matrices, out)
    return out.getvalue()


def write_matrices(matrices: NodeMatrices, out: IO[bytes]) -> None:
    """Writes ``54_io_matrix/<node>.parquet``, without a copy of it in memory.

    Args:
        matrices: The node's.
        out: A file at its start.

    Raises:
        MalformedError: The matrices have not a row for each record, or there is no record.
    """
    import pyarrow as pa  # noqa: PLC0415  # group workers load no pyarrow

    rows = len(matrices.record_ids)
    columns: dict[str, Any] = {"record_id": list(matrices.record_ids)}
    for name in _MATRICES:
        matrix = getattr(matrices, name)
        if matrix is None:
            continue
        if matrix.ndim != 2 or len(matrix) != rows or not matrix.size:
            raise MalformedError(f"{name} has shape {matrix.shape}, and there are {rows} records")
        values = np.ascontiguousarray(matrix, dtype=np.float16)
        offsets = np.arange(rows + 1, dtype=np.int32) * np.int32(values.shape[1])
        columns[name] = pa.ListArray.from_arrays(
            pa.array(offsets), pa.array(values.ravel()), type=_vector()
        )
    fields = _fields(TableKind.MATRICES, validated=matrices.validated_raw is not None)
    _write(columns, fields, out)


def read_columns(kind: TableKind, data: Buffer, limits: Limits) -> Columns:
    """Decodes a table. Call it in a process of its own (``table_process``) for bytes from outside.

    Args:
        kind: Which table is expected.
        data: A Parquet file.
        limits: The most rows and dimensions.

    Returns:
        Name -> a list of strings, an array [rows] of numbers, or a matrix [rows, dimensions].

    Raises:
        MalformedError: Another schema, too many rows or dimensions, rows of unequal length.
    """
    return dict(iter_columns(kind, data, limits))


def iter_columns(kind: TableKind, data: Buffer, limits: Limits) -> Iterator[tuple[str, Column]]:
    """Yields what ``read_columns`` returns, one column decoded at a time."""
    with _reading():
        file = _open(data)
        fields = _fields(kind, validated="validated_raw" in file.schema_arrow.names)
        _check_declared(file, fields, limits)
        rows = file.metadata.num_rows
    for name, _ in fields:
        with _reading():
            # A row group at a time: what Arrow needs beside a list column's values is twice as
            # much as they are.
            parts = [
                _part(file.read_row_group(group, [name], use_threads=False), name, limits)
                for group in range(file.num_row_groups)
            ] or [_part(file.read([name], use_threads=False), name, limits)]
        column = _joined(parts, name)
        del parts
        if len(column) != rows:
            raise MalformedError("has more rows than it says, or fewer")
        yield name, column


def _part(table: Any, name: str, limits: Limits) -> Column:
    table.validate(full=True)
    column = table.column(name)
    if column.null_count:
        raise MalformedError("has empty cells")
    return _column(column, name, limits)


def _joined(parts: list[Column], name: str) -> Column:
    if len(parts) == 1:
        return parts[0]
    texts: list[str] = []
    arrays: list[npt.NDArray[Any]] = []
    for part in parts:
        if isinstance(part, list):
            texts += part
        else:
            arrays.append(part)
    if not arrays:
        return texts
    if len({array.shape[1:] for array in arrays}) != 1:
        raise MalformedError(f"{name} has rows of unequal or impossible length")
    return np.concatenate(arrays)


def release_memory() -> None:
    """Gives back what decoding a column took; Arrow's pool would keep it for the next one."""
    import pyarrow as pa  # noqa: PLC0415

    pa.default_memory_pool().release_unused()


def _column(column: Any, name: str, limits: Limits) -> Column:
    import pyarrow as pa  # noqa: PLC0415

    if name in _MATRICES:
        return _matrix(column, name, limits)
    if pa.types.is_string(column.type):
        texts: list[str] = column.to_pylist()
        return texts
    numbers: npt.NDArray[Any] = column.to_numpy()
    return numbers


def _matrix(column: Any, name: str, limits: Limits) -> HalfMatrix:
    # Combined before flattened: a table of several row groups has a chunk for each.
    combined = column.combine_chunks()
    lengths = np.diff(combined.offsets.to_numpy())
    dimensions = int(lengths[0]) if len(lengths) else 0
    if not 0 < dimensions <= limits.dimensions or (lengths != dimensions).any():
        raise MalformedError(f"{name} has rows of unequal or impossible length")
    values: HalfMatrix = combined.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(lengths), dimensions)


def _vector() -> Any:
    import pyarrow as pa  # noqa: PLC0415

    return pa.list_(pa.field("element", pa.float16(), nullable=False))


def _fields(kind: TableKind, *, validated: bool = True) -> list[tuple[str, Any]]:
    import pyarrow as pa  # noqa: PLC0415

    if kind is TableKind.SPLIT:
        return [(name, pa.string()) for name in ("record_id", "content_hash", "split")]
    if kind is TableKind.MATRICES:
        names = _MATRICES if validated else _REQUIRED_MATRICES
        return [("record_id", pa.string()), *((name, _vector()) for name in names)]
    return [
        ("number", pa.int32()),
        ("choice", pa.string()),
        ("score", pa.float64()),
        ("kind", pa.string()),
        ("examples", pa.int32()),
        ("parse_failures", pa.int32()),
        ("origin", pa.string()),
    ]


def _schema(fields: Sequence[tuple[str, Any]]) -> Any:
    import pyarrow as pa  # noqa: PLC0415

    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in fields])


def _dump(columns: dict[str, Any], fields: Sequence[tuple[str, Any]]) -> bytes:
    out = io.BytesIO()
    _write(columns, fields, out)
    return out.getvalue()


def _write(columns: dict[str, Any], fields: Sequence[tuple[str, Any]], out: IO[bytes]) -> None:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    pq.write_table(
        pa.table(columns, schema=_schema(fields)),
        out,
        row_group_size=_ROWS_A_GROUP,
        compression="zstd",
        compression_level=_LEVEL,
        use_dictionary=False,
        column_encoding={
            f"{name}.list.element": "BYTE_STREAM_SPLIT"
            for name, kind in fields
            if pa.types.is_list(kind)
        },
        write_statistics=False,
        store_schema=False,
    )


@contextmanager
def _reading() -> Iterator[None]:
    import pyarrow as pa  # noqa: PLC0415

    try:
        yield
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        first_line = str(error).partition("\n")[0][:200]
        raise MalformedError(f"is no valid Parquet table: {first_line}") from error


def _open(data: Buffer) -> Any:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    return pq.ParquetFile(
        pa.BufferReader(data), thrift_string_size_limit=MIB, thrift_container_size_limit=MIB
    )


def _check_declared(file: Any, fields: Sequence[tuple[str, Any]], limits: Limits) -> None:
    # Before a value is decoded: what the footer declares must be what this program writes.
    if not file.schema_arrow.equals(_schema(fields)):
        found = ", ".join(f"{field.name}: {field.type}" for field in file.schema_arrow)
        raise MalformedError(f"has other columns than expected: {found[:200]}")
    meta = file.metadata
    if meta.num_rows > limits.rows or meta.num_row_groups > _MAX_ROW_GROUPS:
        raise MalformedError(f"has {meta.num_rows} rows; at most {limits.rows} are read")
    total = 0
    for group in range(meta.num_row_groups):
        for index in range(meta.num_columns):
            chunk = meta.row_group(group).column(index)
            if not set(chunk.encodings) <= _ENCODINGS or chunk.compression not in _CODECS:
                raise MalformedError("uses an encoding that no archive's table has")
            if chunk.num_values > meta.num_rows * limits.dimensions:
                raise MalformedError("declares more values than its rows can hold")
            total += chunk.total_uncompressed_size
    if total > _MAX_TABLE_BYTES:
        raise MalformedError(f"declares {total} bytes; at most {_MAX_TABLE_BYTES} are read")
