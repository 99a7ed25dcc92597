"""Stage 84: the rows of a parquet file, read by a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

from cascade_operator.api.errors import CascadeError, DataError, MemoryGateReached
from cascade_operator.traces.row import MAX_ROW_BYTES

MAX_ROWS: Final = 1_000_000
"""A few bytes of parquet can declare any number of rows; past this many reading ends."""

_COMMAND: Final = (sys.executable, "-m", "cascade_operator.traces.parquet_process")
_MAGIC: Final = b"PAR1"
_PATIENCE_SECONDS: Final = 10
_REWRITE: Final = "Write the file again; `cascade traces import` makes one to compare with."


def parquet_rows(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Yields each row's columns, and why they could not be read whole (empty where they were).

    Raises:
        DataError: The file is cut off or damaged, lacks a column, or stands for more than memory
            or time allows.
        MemoryGateReached: The process was killed, which the kernel does when memory ends.
        CascadeError: The process did not start.
    """
    if _tail(path) != _MAGIC:
        raise DataError(f"{path} is cut off: it starts as parquet but lacks its end", mend=_REWRITE)
    process = subprocess.Popen(
        [*_COMMAND, str(path.absolute())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        if process.stdout is not None:
            yield from _answers(path, process.stdout)
        raise _died(path, process.wait(_PATIENCE_SECONDS))
    except _EndOfRows:
        return
    finally:
        # Also where the caller wants no more rows.
        process.kill()
        process.communicate()


class _EndOfRows(Exception):  # noqa: N818 - no fault
    """The file was read to its end."""


def _answers(path: Path, lines: IO[bytes]) -> Iterator[tuple[dict[str, Any], str]]:
    rows = 0
    # Beside its values a line holds a few bytes of its own.
    while (line := lines.readline(MAX_ROW_BYTES + 64)).endswith(b"\n"):
        answer = json.loads(line.decode("utf-8", "surrogatepass"))
        if "error" in answer:
            raise DataError(f"{path} {answer['error']}", mend=answer["mend"])
        if "end" in answer:
            raise _EndOfRows
        rows += 1
        if rows > MAX_ROWS:
            raise DataError(
                f"{path} holds more than {MAX_ROWS} rows",
                mend="Give a smaller file, or set spec.traces.maxRecords.",
            )
        yield answer["row"], answer.get("problem", "")


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-min(len(_MAGIC), path.stat().st_size), 2)
        return file.read()


def _died(path: Path, code: int) -> CascadeError:
    if code == -signal.SIGKILL:
        return MemoryGateReached(
            f"the process that reads {path} was killed",
            mend="Give prepare more memory (spec.resources.prepare.limits.memory).",
        )
    if code > 0:
        return CascadeError(f"the process that reads {path} failed ({code})", mend=_REWRITE)
    name = signal.Signals(-code).name if code else "without an answer"
    return DataError(
        f"{path} is damaged: reading it ended the process that reads ({name})", mend=_REWRITE
    )
