"""Decodes tables from outside in a process of their own, and trusts no more than its answers."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from contextlib import suppress
from types import TracebackType
from typing import IO, Any, Final, Self

import numpy as np
import numpy.typing as npt

from cascade_operator.archive.arrays import check_npz
from cascade_operator.archive.documents import parse_json, parse_object
from cascade_operator.archive.errors import MalformedError
from cascade_operator.archive.members import KIB, Limits
from cascade_operator.archive.tables import Columns, TableKind

_COMMAND: Final = (sys.executable, "-m", "cascade_operator.archive.table_process")
_MAX_LINE: Final = 16 * KIB
_PATIENCE_SECONDS: Final = 10


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
            head = answers.readline(_MAX_LINE)
            if not head.endswith(b"\n"):
                raise EOFError
            answer = parse_object(head)
            if "error" in answer:
                raise MalformedError(str(answer["error"]))
            return _unpack(_body(answers, answer.get("size"), limits), limits)
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


def _body(answers: IO[bytes], size: Any, limits: Limits) -> bytes:
    if not isinstance(size, int) or not 0 <= size <= limits.total_bytes:
        raise EOFError
    body = answers.read(size)
    if len(body) != size:
        raise EOFError
    return body


def _unpack(body: bytes, limits: Limits) -> Columns:
    check_npz(body)
    with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
        if any(not arrays[name].ndim for name in arrays.files):
            raise MalformedError("has a column that is none")
        columns = {name: _column(arrays[name]) for name in arrays.files}
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1 or max(lengths) > limits.rows:
        raise MalformedError("has columns of unequal or impossible length")
    return columns


def _column(array: npt.NDArray[Any]) -> list[str] | npt.NDArray[Any]:
    if array.dtype != np.uint8:
        return array
    texts: list[str] = parse_json(array.tobytes())
    return texts
