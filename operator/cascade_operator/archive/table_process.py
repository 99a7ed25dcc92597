"""The process that decodes tables from outside: bounded in memory and time, free to die.

Reads requests from standard input and answers on standard output: a line of JSON, then bytes.
A request is ``{"kind", "size", "rows", "dimensions"}`` and the Parquet file. An answer is, for
each column, ``{"column": [name, type, shape]}`` and its bytes (strings as the UTF-8 of a JSON list,
with the type ``json``), then ``{"end": true}``; ``{"error"}`` ends it wherever it comes.
"""

from __future__ import annotations

import json
import sys
from typing import BinaryIO, Final

import numpy as np

from cascade_operator.archive.errors import MalformedError
from cascade_operator.archive.members import GIB, Limits
from cascade_operator.archive.tables import Column, TableKind, iter_columns, release_memory
from cascade_operator.resources.bounds import bound_process

TEXTS: Final = "json"
"""The type of a column of strings."""

Described = tuple[str, str, tuple[int, ...]]
"""A column's name, its type and its shape."""

_DATA_BYTES: Final = 3 * GIB
_PROCESSOR_SECONDS: Final = 600


def main() -> None:
    """Answers requests until its input ends."""
    bound_process(data_bytes=_DATA_BYTES, processor_seconds=_PROCESSOR_SECONDS)
    serve(sys.stdin.buffer, sys.stdout.buffer)


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answers each request in turn; a table that cannot be decoded is answered, not raised."""
    while line := requests.readline():
        request = json.loads(line)
        data = bytearray(request["size"])  # read(size) would hold it twice for a moment
        if requests.readinto(data) != len(data):  # type: ignore[attr-defined]
            return
        limits = Limits(rows=request["rows"], dimensions=request["dimensions"])
        try:
            for name, column in iter_columns(TableKind(request["kind"]), data, limits):
                described, part = describe(name, column)
                _say(answers, {"column": described})
                answers.write(part)
                del column, part
                release_memory()
            _say(answers, {"end": True})
        except MalformedError as error:
            _say(answers, {"error": str(error)})
        answers.flush()


def describe(name: str, column: Column) -> tuple[Described, memoryview]:
    """Returns what an answer says of a column, and its bytes, uncopied where they can be."""
    if isinstance(column, list):
        text = json.dumps(column).encode()
        return (name, TEXTS, (len(text),)), memoryview(text)
    array = np.ascontiguousarray(column)
    return (name, array.dtype.str, array.shape), array.reshape(-1).view(np.uint8).data


def _say(answers: BinaryIO, line: dict[str, object]) -> None:
    answers.write(json.dumps(line).encode() + b"\n")


if __name__ == "__main__":
    main()
