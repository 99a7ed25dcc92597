"""Stage 15, the codec: vectors of up to 256 traces as one block of bytes, read by column.

All numbers are little-endian::

    0   magic "CVEC", u16 version, u8 dtype (1 = f16), u8 0
    8   u32 traces, u16 columns, u16 reduced dimensions, u16 raw dimensions, u16 0
    20  16 bytes: start of sha256(recipe)
    36  u32 crc32 of this header and the table, taken with this field as 0
    40  table: u32 crc32 of each reduced column, then of each raw column
    ..  reduced[columns][traces][reduced dimensions], raw[columns][traces][raw dimensions]

Each column has a checksum of its own, so that a reader of one node can check what it fetched
without the rest. Nothing here is ever unpickled.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

MAX_TRACES: Final = 256
"""Traces in one chunk; what a chunk gains by size levels off here."""

Kind = Literal["red", "raw"]
Half = NDArray[np.float16]

_MAGIC: Final = b"CVEC"
_VERSION: Final = 1
_F16: Final = 1
_FIXED: Final = struct.Struct("<4sHBxIHHHxx16sI")
_MAX_COLUMNS: Final = 2 * 64 + 1
_MAX_DIMENSIONS: Final = 8192
_DTYPE: Final = np.dtype("<f2")
_EXPONENT: Final = np.uint16(0x7C00)


class ChunkError(ValueError):
    """The bytes are no chunk, or a damaged one."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a chunk says about itself.

    Attributes:
        traces: Rows of each column, 1 to 256.
        columns: Two a node and one for the validated output.
        reduced: Length of the reduced vectors.
        raw: Length of the raw vectors.
        recipe: 16 bytes that name the embedding recipe.
        crcs: crc32 of the reduced columns, then of the raw ones.
        crc: crc32 of the header itself: it stands for the whole chunk.
    """

    traces: int
    columns: int
    reduced: int
    raw: int
    recipe: bytes
    crcs: tuple[int, ...]
    crc: int

    @property
    def length(self) -> int:
        """Length of the whole chunk in bytes."""
        return self._body + self.columns * self.traces * 2 * (self.reduced + self.raw)

    @property
    def _body(self) -> int:
        return header_length(self.columns)

    def span(self, kind: Kind, column: int, count: int = 1) -> tuple[int, int]:
        """Returns where neighbouring columns lie: first byte, and the byte behind the last.

        Raises:
            IndexError: There are no such columns.
        """
        if not 0 <= column <= column + count <= self.columns:
            raise IndexError(column)
        dims = self.reduced if kind == "red" else self.raw
        start = self._body if kind == "red" else self._body + self._reduced_bytes
        size = self.traces * dims * 2
        return start + column * size, start + (column + count) * size

    @property
    def _reduced_bytes(self) -> int:
        return self.columns * self.traces * self.reduced * 2

    def decode(self, kind: Kind, column: int, block: bytes | memoryview) -> Half:
        """Turns the bytes of one column into f16 ``[traces, dimensions]``, a view on them.

        Raises:
            ChunkError: They are not what was written.
        """
        low, high = self.span(kind, column)
        dims = self.reduced if kind == "red" else self.raw
        if len(block) != high - low:
            raise ChunkError(f"a column has {len(block)} bytes, not {high - low}")
        place = column if kind == "red" else self.columns + column
        if zlib.crc32(block) != self.crcs[place]:
            raise ChunkError("a column's checksum does not match")
        return np.frombuffer(block, _DTYPE).reshape(self.traces, dims)


def header_length(columns: int) -> int:
    """Returns the length in bytes of the header of a chunk with so many columns."""
    return _FIXED.size + 8 * columns


def recipe_digest(recipe: str) -> bytes:
    """Returns the 16 bytes that stand for an embedding recipe."""
    return hashlib.sha256(recipe.encode()).digest()[:16]


def encode_chunk(
    reduced: NDArray[Any], raw: NDArray[Any], recipe: str, buffer: bytearray | None = None
) -> memoryview:
    """Encodes the vectors of 1 to 256 traces.

    Args:
        reduced: ``[columns, traces, reduced dimensions]``.
        raw: ``[columns, traces, raw dimensions]``.
        recipe: The embedding recipe.
        buffer: Where the chunk goes, if it fits: fresh memory for each costs as much as the rest.

    Returns:
        The chunk; it lies in the buffer, until the next one does.

    Raises:
        ValueError: The shapes do not fit, or a value is not finite as f16.
    """
    if reduced.ndim != 3 or raw.ndim != 3 or reduced.shape[:2] != raw.shape[:2]:
        raise ValueError(f"the shapes {reduced.shape} and {raw.shape} do not fit")
    columns, traces = reduced.shape[:2]
    _check_bounds(traces, columns, reduced.shape[2], raw.shape[2])
    length = header_length(columns) + 2 * (reduced.size + raw.size)
    if buffer is None or len(buffer) < length:
        buffer = bytearray(length)
    block = memoryview(buffer)[:length]
    crcs = []
    place = header_length(columns)
    for column in (*reduced, *raw):
        until = place + 2 * column.size
        crcs.append(_put_half(column, block[place:until]))
        place = until
    _FIXED.pack_into(
        block, 0, _MAGIC, _VERSION, _F16, traces, columns, reduced.shape[2], raw.shape[2],
        recipe_digest(recipe), 0,
    )  # fmt: skip
    struct.pack_into(f"<{len(crcs)}I", block, _FIXED.size, *crcs)
    crc = zlib.crc32(block[: header_length(columns)])
    struct.pack_into("<I", block, _FIXED.size - 4, crc)
    return block


def decode_header(block: bytes | memoryview) -> Header:
    """Reads a chunk's header; the block may hold more than it.

    Raises:
        ChunkError: It is no header, a damaged one, or of another version.
    """
    if len(block) < _FIXED.size:
        raise ChunkError("shorter than a header")
    magic, version, dtype, traces, columns, reduced, raw, recipe, crc = _FIXED.unpack_from(block)
    if magic != _MAGIC:
        raise ChunkError("not a chunk of vectors")
    if (version, dtype) != (_VERSION, _F16):
        raise ChunkError(f"of version {version} and dtype {dtype}, which this program cannot read")
    try:
        _check_bounds(traces, columns, reduced, raw)
    except ValueError as error:
        raise ChunkError(str(error)) from None
    head = bytes(block[: header_length(columns)])
    if len(head) < header_length(columns):
        raise ChunkError("its header is cut off")
    if zlib.crc32(head[: _FIXED.size - 4] + bytes(4) + head[_FIXED.size :]) != crc:
        raise ChunkError("the header's checksum does not match")
    crcs = struct.unpack_from(f"<{2 * columns}I", head, _FIXED.size)
    return Header(traces, columns, reduced, raw, recipe, crcs, crc)


def decode_chunk(block: bytes) -> tuple[Header, Half, Half]:
    """Reads a whole chunk.

    Returns:
        The header, f16 ``[columns, traces, reduced]`` and f16 ``[columns, traces, raw]``.

    Raises:
        ChunkError: It is damaged.
    """
    header = decode_header(block)
    if len(block) != header.length:
        raise ChunkError(f"{len(block)} bytes, not {header.length}")
    view = memoryview(block)
    kinds: Sequence[Kind] = ("red", "raw")
    reduced, raw = (
        np.stack(
            [
                header.decode(kind, column, view[slice(*header.span(kind, column))])
                for column in range(header.columns)
            ]
        )
        for kind in kinds
    )
    return header, reduced, raw


def _check_bounds(traces: int, columns: int, reduced: int, raw: int) -> None:
    if not 1 <= traces <= MAX_TRACES or not 1 <= columns <= _MAX_COLUMNS:
        raise ValueError(f"a chunk of {traces} traces and {columns} columns is out of bounds")
    if not 1 <= reduced <= _MAX_DIMENSIONS or not 1 <= raw <= _MAX_DIMENSIONS:
        raise ValueError(f"vectors of {reduced} and {raw} dimensions are out of bounds")


def _put_half(values: NDArray[Any], place: memoryview) -> int:
    """Writes one column as f16 and returns its crc32."""
    half = np.frombuffer(place, _DTYPE).reshape(values.shape)
    with np.errstate(over="ignore"):
        half[...] = values
    # Infinity and NaN have all bits of the exponent; isfinite takes ten times as long on f16.
    if (half.view("<u2") & _EXPONENT).max() == _EXPONENT:
        raise ValueError("a vector is not finite, or beyond what f16 holds")
    return zlib.crc32(place)
