"""Stage 84: opens a trace file and hands out its raw rows, a bounded batch at a time."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cascade_operator.api.errors import DataError
from cascade_operator.traces.parquet_rows import parquet_rows
from cascade_operator.traces.row import MAX_LINE_BYTES, parse_json

_MAGIC: Final = b"PAR1"
_REWRITE: Final = "Write the file again; `cascade traces import` makes one to compare with."
# What people take for a trace file, by its first bytes.
_OTHER_FORMATS: Final = (
    (b"\x1f\x8b", "gzip", "Unpack it first (gunzip)."),
    (b"\x28\xb5\x2f\xfd", "zstd", "Unpack it first (zstd -d)."),
    (b"PK\x03\x04", "zip", "Unpack it first (unzip)."),
    (b"BZh", "bzip2", "Unpack it first (bunzip2)."),
    (b"\xfd7zXZ", "xz", "Unpack it first (unxz)."),
    (b"PARE", "encrypted parquet", "Write it without encryption."),
    (b"ARROW1", "Arrow IPC", "Write it as parquet, for example with pyarrow.parquet."),
    (b"ORC", "ORC", "Write it as parquet or JSON lines."),
    (b"SQLite format 3", "SQLite", "Write it as parquet or JSON lines."),
    (b"\x89PNG", "PNG", _REWRITE),
    (b"%PDF", "PDF", _REWRITE),
)
_HEAD_BYTES: Final = 16


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


def open_rows(path: Path) -> Generator[RawRow]:
    """Yields the rows of a trace file, parquet or JSONL (told apart by the first bytes).

    Raises:
        DataError: The file is missing, empty, cut off, of another format, or lacks a column.
        MemoryGateReached: Memory ended while parquet was read.
    """
    head = _first_bytes(path)
    if head.startswith(_MAGIC):
        return _numbered(parquet_rows(path))
    for start, name, mend in _OTHER_FORMATS:
        if head.startswith(start):
            raise DataError(f"{path} is {name}, neither parquet nor JSON lines", mend=mend)
    if path.suffix.lower() in {".parquet", ".pq"}:
        raise DataError(f"{path} is not a parquet file: it lacks the format's mark", mend=_REWRITE)
    return _jsonl_rows(path)


def _numbered(rows: Iterator[tuple[dict[str, Any], str]]) -> Generator[RawRow]:
    for row, (values, problem) in enumerate(rows, start=1):
        yield RawRow(row, values, problem)


def _first_bytes(path: Path) -> bytes:
    try:
        # A FIFO would block for ever, a device have no end.
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "no regular file"
            raise DataError(
                f"{path} is {kind}", mend="Name a trace file itself, parquet or JSON lines."
            )
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError:
        raise DataError(
            f"{path} does not exist",
            mend="Check the path; a session names it in spec.traces, from the claim's top on.",
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(
            f"{path} cannot be read: {reason}",
            mend="Name a trace file (parquet or JSONL) that this user may read.",
        ) from None
    if not head:
        raise DataError(f"{path} is empty", mend=_REWRITE)
    return head


def _jsonl_rows(path: Path) -> Generator[RawRow]:
    objects = 0
    with path.open("rb") as file:
        for row, line in enumerate(_lines(file), start=1):
            if not line.strip():
                continue
            if len(line) > MAX_LINE_BYTES:
                yield RawRow(row, problem=f"longer than {MAX_LINE_BYTES} bytes")
                continue
            try:
                values = parse_json(line.decode("utf-8-sig"))
            except ValueError as error:
                if not objects:
                    _refuse_other_text(path, line)
                if objects and not line.endswith(b"\n"):
                    raise DataError(
                        f"{path} is cut off: line {row}, its last, ends inside a record",
                        mend=_REWRITE,
                    ) from None
                yield RawRow(row, problem=f"not JSON: {error}")
                continue
            if isinstance(values, dict):
                objects += 1
                yield RawRow(row, values)
                continue
            if not objects:
                _refuse_other_text(path, line)
            yield RawRow(row, problem="not a JSON object")


def _refuse_other_text(path: Path, line: bytes) -> None:
    """Refuses a file that begins as no JSON lines do, rather than naming all of its lines bad.

    Raises:
        DataError: It does. A first line that is merely a broken record is let through.
    """
    start = line.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"["):
        raise DataError(
            f"{path} is a JSON array, not JSON lines",
            mend="Write one record a line: jq -c '.[]' FILE > traces.jsonl",
        )
    if start.rstrip() == b"{":
        raise DataError(
            f"{path} holds a record over several lines",
            mend="Write one record a line: jq -c . FILE > traces.jsonl",
        )
    if not start.startswith(b"{") or not _is_utf8(line):
        raise DataError(
            f"{path} is neither parquet nor JSON lines: it begins with {ascii(line[:20])[1:]}",
            mend=_REWRITE,
        )


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _lines(file: Any) -> Iterator[bytes]:
    """Lines in bounded memory: of a line over the bound only a beginning is handed out."""
    while line := file.readline(MAX_LINE_BYTES + 1):
        rest = line
        while len(rest) > MAX_LINE_BYTES and not rest.endswith(b"\n"):
            rest = file.readline(MAX_LINE_BYTES + 1)
        yield line
