"""Decodes tables from outside in a process of their own, and trusts no more than its answers."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import IO, Any, Final, Self

import numpy as np

from cascade_operator.archive.documents import parse_json, parse_object
from cascade_operator.archive.errors import MalformedError
from cascade_operator.archive.members import KIB, Limits
from cascade_operator.archive.table_process import TEXTS
from cascade_operator.archive.tables import Column, Columns, TableKind

_COMMAND: Final = (sys.executable, "-m", "cascade_operator.archive.table_process")
_MAX_LINE: Final = 16 * KIB
_PATIENCE_SECONDS: Final = 10
_MAX_COLUMNS: Final = 64
_TYPES: Final = {TEXTS: np.dtype("u1")} | {kind: np.dtype(kind) for kind in ("<f2", "<i4", "<f8")}


class TableDecoder:
    """Starts the decoding process when the first table comes, and again after it died.

    Use it as a context manager. One decoder serves any number of archives, one table at a time.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def decode(self, kind: TableKind, data: bytes, limits: Limits) -> Columns:
        """Returns a table's columns.

        Args:
            kind: Which table is expected.
            data: A Parquet file; it may come from anyone.
            limits: The most rows, dimensions and bytes.

        Raises:
            MalformedError: The table breaks a rule, or the process did not survive it.
            OSError: The process cannot be started.
        """
        request = {
            "kind": kind.value,
            "size": len(data),
            "rows": limits.rows,
            "dimensions": limits.dimensions,
        }
        try:
            requests, answers = self._pipes()
            requests.write(json.dumps(request).encode() + b"\n")
            requests.write(data)
            requests.flush()
            return _columns(answers, limits)
        except (BrokenPipeError, EOFError) as error:
            code = self.close()
            raise MalformedError(
                f"is no valid Parquet table: decoding it ended the decoder ({code})"
            ) from error

    def close(self) -> int | None:
        """Ends the process; returns its exit code, None when there was none."""
        process, self._process = self._process, None
        if process is None:
            return None
        for pipe in (process.stdin, process.stdout):
            # It may have died with a request half written; that is why it is being closed.
            with suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()
        try:
            code = process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        if self._process is None:
            self._process = subprocess.Popen(
                _COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise EOFError
        return process.stdin, process.stdout


def _columns(answers: IO[bytes], limits: Limits) -> Columns:
    """Reads the columns of an answer into arrays of their own.

    Raises:
        EOFError: The process does not speak as it should: it was taken over, or died.
        MalformedError: It refuses the table, or the columns do not fit each other.
    """
    left = limits.total_bytes
    columns: dict[str, Column] = {}
    while "end" not in (answer := _line(answers)):
        name, kind, shape = _described(answer.get("column"))
        left -= math.prod(shape) * _TYPES[kind].itemsize
        if left < 0 or name in columns or len(columns) == _MAX_COLUMNS:
            raise EOFError
        array = np.empty(shape, _TYPES[kind])
        _read_into(answers, array.reshape(-1).view(np.uint8).data)
        columns[name] = _spoken(parse_json, array.tobytes()) if kind == TEXTS else array
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1 or max(lengths) > limits.rows:
        raise MalformedError("has columns of unequal or impossible length")
    return columns


def _line(answers: IO[bytes]) -> dict[str, Any]:
    line = answers.readline(_MAX_LINE)
    if not line.endswith(b"\n"):
        raise EOFError
    answer: dict[str, Any] = _spoken(parse_object, line)
    if "error" in answer:
        raise MalformedError(str(answer["error"]))
    return answer


def _spoken(parse: Callable[[bytes], Any], data: bytes) -> Any:
    """Parses what the process itself wrote; where that is no JSON, nothing after it counts."""
    try:
        return parse(data)
    except MalformedError as error:
        raise EOFError from error


def _described(entry: Any) -> tuple[str, str, tuple[int, ...]]:
    if not isinstance(entry, list) or len(entry) != 3:
        raise EOFError
    name, kind, shape = entry
    if not isinstance(name, str) or kind not in _TYPES or not isinstance(shape, list):
        raise EOFError
    if not 1 <= len(shape) <= 2 or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise EOFError
    return name, kind, tuple(shape)


def _read_into(answers: IO[bytes], place: memoryview) -> None:
    done = 0
    while done < len(place):
        # A buffered reader goes to the pipe directly for what exceeds its buffer.
        count: int = answers.readinto(place[done:])  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        done += count
