"""Arrays in an archive: ``.npy`` and ``.npz``, checked by their headers before any is loaded.

The headers say shape and type; both are checked against what is expected and against the bytes
there are, so that loading allocates no more than the member already holds. Nothing is unpickled.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
import zlib
from typing import IO, Final

import numpy as np
from numpy.lib import format as npy

from cascade_operator.archive.errors import MalformedError
from cascade_operator.archive.members import GIB
from cascade_operator.archive.model import DoubleMatrix

_MAX_HEADER: Final = 10_000
_MAX_AXES: Final = 8
_MAX_ENTRIES: Final = 256
_MAX_NPZ_BYTES: Final = GIB
_ENTRY: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}\.npy", re.ASCII)
_PLAIN_KINDS: Final = "biufUS"
_POSTERIOR_COLUMNS: Final = 2


def dump_posterior(posterior: DoubleMatrix) -> bytes:
    """Returns a posterior as ``.npy``, version 1.0, little-endian float64, C order.

    Args:
        posterior: [n, 2].
    """
    out = io.BytesIO()
    array = np.ascontiguousarray(posterior, dtype="<f8")
    npy.write_array(out, array, version=(1, 0), allow_pickle=False)
    return out.getvalue()


def load_posterior(data: bytes, rows: int) -> DoubleMatrix:
    """Returns the posterior that the bytes hold.

    Args:
        data: A ``.npy`` file.
        rows: How many validation records the split has.

    Returns:
        [rows, 2], float64.

    Raises:
        MalformedError: Another shape or type, a pickle, or a value that is no count above 0.
    """
    stream = io.BytesIO(data)
    shape, dtype = _header(stream)
    if shape != (rows, _POSTERIOR_COLUMNS) or dtype != np.dtype("<f8"):
        raise MalformedError(
            f"has shape {shape} and type {dtype}; [{rows}, {_POSTERIOR_COLUMNS}] float64 is"
            " expected, a row for each validation record"
        )
    _expect_bytes(shape, dtype, len(data) - stream.tell())
    stream.seek(0)
    array: DoubleMatrix = np.load(stream, allow_pickle=False)
    if not (np.isfinite(array).all() and (array > 0).all()):
        raise MalformedError("holds values that are no counts above 0")
    return array


def check_npz(data: bytes) -> None:
    """Checks that an ``.npz`` can be loaded without a pickle and without a surprise in size.

    Raises:
        MalformedError: It is no zip of plain arrays, or its arrays exceed 1 GiB together.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if len(entries) > _MAX_ENTRIES:
                raise MalformedError(
                    f"holds {len(entries)} arrays; at most {_MAX_ENTRIES} are read"
                )
            if len({entry.filename for entry in entries}) != len(entries):
                raise MalformedError("holds an array twice")
            if sum(entry.file_size for entry in entries) > _MAX_NPZ_BYTES:
                raise MalformedError(f"holds more than {_MAX_NPZ_BYTES} bytes of arrays")
            for entry in entries:
                _check_entry(archive, entry)
    except (
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        RuntimeError,
        EOFError,
        ValueError,
    ) as error:
        raise MalformedError(f"is no valid npz file: {error}") from error


def _check_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    if not _ENTRY.fullmatch(entry.filename):
        raise MalformedError(f"holds an entry that is no array: {entry.filename[:100]!r}")
    with archive.open(entry) as stream:
        shape, dtype = _header(stream)
        _expect_bytes(shape, dtype, entry.file_size - stream.tell())


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    try:
        version = npy.read_magic(stream)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
        if read is None:
            raise MalformedError(f"has npy version {version}")
        shape, _, dtype = read(stream, max_header_size=_MAX_HEADER)
    except (ValueError, SyntaxError, TypeError) as error:
        raise MalformedError(f"has no valid npy header: {error}") from error
    if dtype.hasobject or dtype.kind not in _PLAIN_KINDS:
        raise MalformedError("holds Python objects (a pickle), which are never loaded")
    if len(shape) > _MAX_AXES or any(axis < 0 for axis in shape):
        raise MalformedError(f"has shape {shape}")
    return shape, dtype


def _expect_bytes(shape: tuple[int, ...], dtype: np.dtype[np.generic], found: int) -> None:
    expected = math.prod(shape) * dtype.itemsize
    if expected != found:
        raise MalformedError(f"has {found} bytes of values, and its header says {expected}")
