"""JSON documents for Redis: one zstd frame with a checked head, read in bounded memory.

The head is magic "CTXT", u16 version, u16 0, u32 length of the text, u32 crc32 of the frame, all
little-endian. A frame of 8 KB can unpack to gigabytes; the length in the head bounds it.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from typing import Any, Final

import zstandard

from cascade_operator.api.canonical import ordered_json
from cascade_operator.traces.chunk import ChunkError

MAX_TEXT: Final = 64 << 20
"""The longest text of one document, in bytes."""

_MAGIC: Final = b"CTXT"
_VERSION: Final = 1
_HEAD: Final = struct.Struct("<4sHxxII")
_LEVEL: Final = 3


def pack_lines(documents: Sequence[Any]) -> bytes:
    """Packs JSON documents, one a line; the same documents give the same bytes.

    Raises:
        ValueError: They are longer than 64 MiB together, or hold NaN.
    """
    return pack_encoded([ordered_json(document).encode() for document in documents])


def pack_encoded(lines: Sequence[bytes]) -> bytes:
    """Packs JSON documents that are encoded already, one a line.

    Raises:
        ValueError: They are longer than 64 MiB together.
    """
    text = b"\n".join(lines)
    if len(text) > MAX_TEXT:
        raise ValueError(f"{len(text)} bytes of text are over the bound of {MAX_TEXT}")
    frame = zstandard.ZstdCompressor(level=_LEVEL).compress(text)
    return _HEAD.pack(_MAGIC, _VERSION, len(text), zlib.crc32(frame)) + frame


def frame_crc(block: bytes) -> int:
    """Returns the checksum that a block's head states: it stands for the whole block.

    Raises:
        ChunkError: There is no head.
    """
    if len(block) < _HEAD.size:
        raise ChunkError("shorter than a head")
    crc: int = _HEAD.unpack_from(block)[3]
    return crc


def unpack_lines(block: bytes) -> list[Any]:
    """Reads what ``pack_lines`` wrote.

    Raises:
        ChunkError: The bytes are damaged or something else.
    """
    return [parse_line(line) for line in unpack_encoded(block)]


def parse_line(line: bytes) -> Any:
    """Parses one line of a block.

    Raises:
        ChunkError: It is no JSON.
    """
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ChunkError(f"the text cannot be read: {str(error)[:100]}") from None


def unpack_encoded(block: bytes) -> list[bytes]:
    """Returns a block's lines as they were packed, unparsed.

    Raises:
        ChunkError: The bytes are damaged or something else.
    """
    if len(block) < _HEAD.size:
        raise ChunkError("shorter than a head")
    magic, version, length, crc = _HEAD.unpack_from(block)
    frame = block[_HEAD.size :]
    if magic != _MAGIC or version != _VERSION or length > MAX_TEXT:
        raise ChunkError("not a text of this program's version")
    if zlib.crc32(frame) != crc:
        raise ChunkError("the text's checksum does not match")
    try:
        # The frame's own claim decides how much is allocated, so it is compared first.
        if zstandard.frame_content_size(frame) != length:
            raise ChunkError("the text's length does not match")
        text = zstandard.ZstdDecompressor().decompress(frame, max_output_size=length or 1)
        return text.split(b"\n") if text else []
    except zstandard.ZstdError as error:
        raise ChunkError(f"the text cannot be read: {str(error)[:100]}") from None
