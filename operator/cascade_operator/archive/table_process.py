"""The process that decodes tables from outside: bounded in memory and time, free to die.

Reads requests from standard input and answers on standard output: a line of JSON, then bytes.
A request is ``{"kind", "size", "rows", "dimensions"}`` and the Parquet file; an answer is
``{"size"}`` and an uncompressed ``.npz`` (strings as the UTF-8 of a JSON list), or ``{"error"}``.
"""

from __future__ import annotations

import io
import json
import resource
import sys
from typing import BinaryIO, Final

import numpy as np

from cascade_operator.archive.errors import MalformedError
from cascade_operator.archive.members import GIB, Limits
from cascade_operator.archive.tables import Columns, TableKind, read_columns

_DATA_BYTES: Final = 3 * GIB
_PROCESSOR_SECONDS: Final = 600


def main() -> None:
    """Answers requests until its input ends."""
    for kind, most in (
        (resource.RLIMIT_DATA, _DATA_BYTES),
        (resource.RLIMIT_CPU, _PROCESSOR_SECONDS),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (allowed, allowed))
    serve(sys.stdin.buffer, sys.stdout.buffer)


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answers each request in turn; a table that cannot be decoded is answered, not raised."""
    while line := requests.readline():
        request = json.loads(line)
        data = requests.read(request["size"])
        limits = Limits(rows=request["rows"], dimensions=request["dimensions"])
        body = b""
        try:
            body = pack(read_columns(TableKind(request["kind"]), data, limits))
            head: dict[str, object] = {"size": len(body)}
        except MalformedError as error:
            head = {"error": str(error)}
        answers.write(json.dumps(head).encode() + b"\n" + body)
        answers.flush()


def pack(columns: Columns) -> bytes:
    """Returns columns as an uncompressed ``.npz``."""
    arrays = {
        name: np.frombuffer(json.dumps(column).encode(), np.uint8)
        if isinstance(column, list)
        else column
        for name, column in columns.items()
    }
    out = io.BytesIO()
    np.savez(out, **arrays)  # type: ignore[arg-type]  # the names are ours, none is allow_pickle
    return out.getvalue()


if __name__ == "__main__":
    main()
