"""Compression on both sides of the tar: one zstd frame or one gzip member, both bounded."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final

from cascade_operator.api.archive_spec import Compression
from cascade_operator.archive.errors import MalformedError
from cascade_operator.archive.members import KIB, MIB

_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_GZIP_MAGIC: Final = b"\x1f\x8b"
_ZSTD_LEVEL: Final = 3  # higher levels gain under 1 % on embeddings and cost up to 121 times more
_GZIP_LEVEL: Final = 9
_MAX_WINDOW: Final = 8 * MIB  # level 3 needs 2; a frame may ask for gigabytes
# A zstd block of three bytes can stand for 128 KiB, and the streaming call has no output bound: it
# is fed so many blocks that 4 MiB come out at most, whatever they say.
_ZSTD_FEED: Final = 32
_ZSTD_HEADER: Final = 18  # the longest header of a frame
_ZSTD_BLOCK: Final = 128 * KIB
_ZSTD_RLE: Final = 1
_ZSTD_CHECKSUM: Final = 4
_GZIP_FEED: Final = 64 * KIB
_GZIP_YIELD: Final = MIB


SUFFIXES: Final = {Compression.ZSTD: ".tar.zst", Compression.GZIP: ".tar.gz"}
"""How an archive's file name ends, by its form."""


@contextmanager
def compressing(out: BinaryIO, compression: Compression, size: int) -> Iterator[BinaryIO]:
    """Opens a writer whose bytes reach ``out`` compressed, the same bytes each time.

    Args:
        out: The file; it stays open.
        compression: The form. Gzip is written without a name and with time 0.
        size: How many bytes will be written; the zstd frame states it.
    """
    if compression is Compression.GZIP:
        with gzip.GzipFile("", "wb", _GZIP_LEVEL, out, mtime=0) as stream:
            yield stream  # type: ignore[misc]  # GzipFile writes bytes, but is no BinaryIO by name
        return
    import zstandard  # noqa: PLC0415  # most workers never touch an archive

    compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True)
    frame = compressor.stream_writer(out, size=size, closefd=False)
    yield frame
    # Only after success: ending a frame that a full volume cut short raises zstd's own error
    # (a wrong size) in place of the volume's.
    frame.flush(zstandard.FLUSH_FRAME)


class BoundedStream:
    """Reads a compressed file forward, never past a bound and never past one frame.

    Args:
        raw: The compressed file, at its start.
        max_bytes: The most it may decompress to.

    Raises:
        MalformedError: From the constructor and each method, when the file is in no known form,
            is damaged, ends early, holds more than the bound, or goes on after its frame.
    """

    def __init__(self, raw: BinaryIO, max_bytes: int) -> None:
        magic = raw.read(4)
        raw.seek(0)
        if magic == _ZSTD_MAGIC:
            self._chunks = _zstd_chunks(raw)
        elif magic[:2] == _GZIP_MAGIC:
            self._chunks = _gzip_chunks(raw)
        else:
            raise MalformedError("is neither a zstd nor a gzip file")
        self._max_bytes = max_bytes
        self._seen = 0
        self._rest = memoryview(b"")

    def read(self, size: int) -> bytes:
        """Returns exactly this many bytes."""
        parts = []
        while size:
            if not self._rest and not self._fill():
                raise MalformedError("ends early: the file is truncated")
            part = self._rest[:size]
            self._rest = self._rest[len(part) :]
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def expect_zeros_to_the_end(self, max_bytes: int) -> None:
        """Reads what is left: zeros only, and no more of them than a tar's padding."""
        left = 0
        while self._rest or self._fill():
            left += len(self._rest)
            if left > max_bytes or any(self._rest):
                raise MalformedError("goes on after its last member")
            self._rest = memoryview(b"")

    def _fill(self) -> bool:
        chunk = next(self._chunks, None)
        if chunk is None:
            return False
        self._seen += len(chunk)
        if self._seen > self._max_bytes:
            raise MalformedError(
                f"decompresses to more than {self._max_bytes} bytes",
                mend="Do not read it, or raise the reader's bound if you made it yourself.",
            )
        self._rest = memoryview(chunk)
        return True


def _zstd_chunks(raw: BinaryIO) -> Iterator[bytes]:
    import zstandard  # noqa: PLC0415  # most workers never touch an archive

    try:
        decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).decompressobj()
        for blocks in _zstd_blocks(raw):
            if data := decompressor.decompress(blocks):
                yield data
    except zstandard.ZstdError as error:
        raise MalformedError(f"is damaged: {error}") from error
    if not decompressor.eof or decompressor.unused_data:
        raise MalformedError("is damaged: its zstd frame does not end where it says")
    if raw.read(1):
        raise MalformedError("goes on after its zstd frame")


def _zstd_blocks(raw: BinaryIO) -> Iterator[bytes]:
    """Cuts a frame between its blocks (RFC 8878, 3.1.1), a bounded number at a time.

    Raises:
        MalformedError: It ends early, or a block is longer than any may be.
        ZstdError: It has no valid header.
    """
    import zstandard  # noqa: PLC0415

    head = raw.read(_ZSTD_HEADER)
    header = zstandard.frame_header_size(head)
    checked = zstandard.get_frame_parameters(head).has_checksum
    raw.seek(header)
    feed = [head[:header]]
    last = False
    while not last:
        for _ in range(_ZSTD_FEED):
            size = _exactly(raw, 3)
            word = int.from_bytes(size, "little")
            last, kind, length = bool(word & 1), word >> 1 & 3, word >> 3
            if length > _ZSTD_BLOCK and kind != _ZSTD_RLE:
                raise MalformedError("is damaged: a zstd block is too long")
            feed += size, _exactly(raw, 1 if kind == _ZSTD_RLE else length)
            if last:
                break
        yield b"".join(feed)
        feed = []
    if checked:
        yield _exactly(raw, _ZSTD_CHECKSUM)


def _exactly(raw: BinaryIO, size: int) -> bytes:
    data = raw.read(size)
    if len(data) < size:
        raise MalformedError("ends early: the file is truncated")
    return data


def _gzip_chunks(raw: BinaryIO) -> Iterator[bytes]:
    decompressor = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        while not decompressor.eof:
            fed = decompressor.unconsumed_tail or raw.read(_GZIP_FEED)
            data = decompressor.decompress(fed, _GZIP_YIELD)
            if data:
                yield data
            elif not fed and not decompressor.eof:
                raise MalformedError("ends early: the file is truncated")
    except zlib.error as error:
        raise MalformedError(f"is damaged: {error}") from error
    if decompressor.unused_data or raw.read(1):
        raise MalformedError("goes on after its gzip member")
