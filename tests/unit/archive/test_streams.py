"""Compressed files fed block by block: bounded, whatever a block claims to stand for."""

import io
import struct

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_operator.archive.errors import MalformedError
from cascade_operator.archive.streams import BoundedStream

MIB = 1 << 20
RLE, RAW = 1, 0


def frame(*blocks, checksum=b""):
    """A zstd frame put together by hand: window of 8 MiB, no content size."""
    descriptor = 0x04 if checksum else 0x00
    out = b"\x28\xb5\x2f\xfd" + bytes([descriptor, 13 << 3])
    for number, (kind, size, data) in enumerate(blocks, start=1):
        word = size << 3 | kind << 1 | (number == len(blocks))
        out += struct.pack("<I", word)[:3] + data
    return out + checksum


def read(data, size, bound=1 << 30):
    return BoundedStream(io.BytesIO(data), bound).read(size)


@settings(max_examples=40, deadline=None)
@given(
    st.binary(min_size=64, max_size=4000), st.integers(1, 200), st.booleans(),
    st.lists(st.integers(1, 70_000), max_size=6),
)  # fmt: skip
def test_what_was_packed_is_read_in_whatever_steps(data, times, checksum, steps):
    whole = data * times
    packed = zstandard.ZstdCompressor(level=3, write_checksum=checksum).compress(whole)
    stream, place = BoundedStream(io.BytesIO(packed), len(whole)), 0
    for step in steps:
        if place + step > len(whole):
            break
        assert stream.read(step) == whole[place : place + step]
        place += step
    assert stream.read(len(whole) - place) == whole[place:]


def test_a_frame_of_runs_is_unpacked_a_few_mebibytes_at_a_time(monkeypatch):
    # 100,000 blocks of three bytes and one stand for 12 GiB.
    bomb = frame(*[(RLE, 128 << 10, b"\0")] * 100_000)
    assert len(bomb) < MIB
    stream = BoundedStream(io.BytesIO(bomb), 1 << 40)
    stream.read(MIB)
    assert stream._seen <= 4 * MIB
    with pytest.raises(MalformedError, match="decompresses to more than"):
        read(bomb, 64 * MIB, bound=8 * MIB)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (frame((RAW, 200 << 10, bytes(200 << 10))), "a zstd block is too long"),
        (frame((RAW, 600, bytes(600)))[:-1], "truncated"),
        (frame((RAW, 600, bytes(600)), checksum=b"abcd"), "damaged"),
        (frame((RAW, 600, bytes(600)), checksum=b"abcd")[:-2], "truncated"),
        (frame((3, 600, bytes(600))), "damaged"),
        (frame((RAW, 600, bytes(600))) + b"x", "goes on after"),
        (b"\x28\xb5\x2f\xfd" + bytes([0x08, 13 << 3]) + bytes(40), "damaged"),
        (b"\x28\xb5\x2f\xfd\0", "damaged"),
    ],
    ids=["too long", "cut", "checksum", "half a checksum", "reserved", "more", "header", "short"],
)
def test_a_frame_that_lies_is_refused(data, message):
    with pytest.raises(MalformedError, match=message):
        read_to_the_end(data, 600)


def read_to_the_end(data, size):
    stream = BoundedStream(io.BytesIO(data), 1 << 30)
    stream.read(size)
    stream.expect_zeros_to_the_end(0)
