import struct
import zlib

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cascade_operator.traces.chunk import (
    ChunkError,
    decode_chunk,
    decode_header,
    encode_chunk,
    header_length,
)
from cascade_operator.traces.manifest import ChunkEntry, Manifest
from cascade_operator.traces.packed import MAX_TEXT, pack_lines, unpack_lines
from cascade_operator.traces.record import Split

HALVES = st.floats(-1000, 1000, width=16)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(
        st.characters(codec="utf-8"), max_size=3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@st.composite
def blocks(draw):
    columns, traces = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    shapes = [(columns, traces, draw(st.integers(1, 6))) for _ in range(2)]
    return [draw(hnp.arrays(np.float16, shape, elements=HALVES)) for shape in shapes]


def example(traces=3, columns=3):
    rng = np.random.default_rng(0)
    return encode_chunk(
        rng.standard_normal((columns, traces, 2)), rng.standard_normal((columns, traces, 4)), "r"
    )


@given(blocks(), st.text(max_size=8))
@settings(max_examples=50)
def test_what_is_encoded_is_decoded(pair, recipe):
    block = encode_chunk(*pair, recipe)
    header, reduced, raw = decode_chunk(block)
    np.testing.assert_array_equal(reduced, pair[0])
    np.testing.assert_array_equal(raw, pair[1])
    assert header.length == len(block)
    assert encode_chunk(*pair, recipe) == block


@given(blocks())
@settings(max_examples=30)
def test_a_column_can_be_read_alone(pair):
    block = encode_chunk(*pair, "r")
    header = decode_header(block[: header_length(pair[0].shape[0])])
    for kind, array in zip(("red", "raw"), pair, strict=True):
        for column in range(header.columns):
            low, high = header.span(kind, column)
            np.testing.assert_array_equal(
                header.decode(kind, column, block[low:high]), array[column]
            )


@given(st.data())
@settings(max_examples=150)
def test_damage_is_never_taken_for_data(data):
    block = bytearray(example())
    if data.draw(st.booleans()):
        block = block[: data.draw(st.integers(0, len(block) - 1))]
    else:
        block[data.draw(st.integers(0, len(block) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ChunkError):
        decode_chunk(bytes(block))


@given(st.binary(max_size=300))
def test_noise_is_refused(noise):
    for decode in (decode_chunk, decode_header, unpack_lines, Manifest.decode):
        with pytest.raises(ChunkError):
            decode(noise)
    with pytest.raises(ChunkError):
        decode_header(b"CVEC" + noise)


def test_the_format_is_fixed():
    """Jobs of two versions of the image may meet on one Redis."""
    block = encode_chunk(np.ones((1, 1, 1)), np.full((1, 1, 2), 0.5), "recipe")
    assert block.hex() == (
        "43564543" "0100" "01" "00" "01000000" "0100" "0100" "0200" "0000"  # sizes
        "e1d8e552330911f9f779f85b6f2c00a1" "a71cc1d4"  # recipe, header's checksum
        "786eb66e" "aad33e23"  # the columns' checksums
        "003c" "00380038"  # 1, then 0.5 twice
    )  # fmt: skip


def test_another_version_is_named():
    block = bytearray(example())
    block[4] = 2
    with pytest.raises(ChunkError, match="version 2"):
        decode_chunk(bytes(block))


@pytest.mark.parametrize(
    ("reduced", "raw"),
    [
        pytest.param(np.zeros((2, 3, 4)), np.zeros((2, 2, 4)), id="other traces"),
        pytest.param(np.zeros((3, 4)), np.zeros((3, 4)), id="two axes"),
        pytest.param(np.zeros((1, 257, 1)), np.zeros((1, 257, 1)), id="too many traces"),
        pytest.param(np.zeros((1, 0, 1)), np.zeros((1, 0, 1)), id="no traces"),
        pytest.param(np.full((1, 1, 1), np.nan), np.zeros((1, 1, 1)), id="NaN"),
        pytest.param(np.full((1, 1, 1), 1e6), np.zeros((1, 1, 1)), id="beyond f16"),
    ],
)
def test_what_cannot_be_stored(reduced, raw):
    with pytest.raises(ValueError):  # noqa: PT011 - each case has its own words
        encode_chunk(reduced, raw, "r")


@pytest.mark.parametrize(("column", "count"), [(3, 1), (-1, 1), (2, 2)])
def test_a_column_that_is_not_there(column, count):
    with pytest.raises(IndexError):
        decode_header(example()).span("red", column, count)


@given(st.lists(JSON, max_size=4))
@settings(max_examples=50)
def test_text_round_trip(documents):
    assert unpack_lines(pack_lines(documents)) == documents


@given(st.data())
@settings(max_examples=100)
def test_damaged_text_is_refused(data):
    block = bytearray(pack_lines([{"a": "text" * 50}, [1, 2]]))
    if data.draw(st.booleans()):
        block = block[: data.draw(st.integers(0, len(block) - 1))]
    else:
        place = data.draw(st.integers(0, len(block) - 1))
        block[place] ^= data.draw(st.integers(1, 255))
        if place in (6, 7):
            return  # two reserved bytes, which say nothing
    with pytest.raises(ChunkError):
        unpack_lines(bytes(block))


def forged(text: bytes, length: int) -> bytes:
    frame = zstandard.ZstdCompressor().compress(text)
    return struct.pack("<4sHxxII", b"CTXT", 1, length, zlib.crc32(frame)) + frame


@pytest.mark.parametrize(
    ("text", "length"),
    [
        pytest.param(bytes(MAX_TEXT + 1), MAX_TEXT + 1, id="over the bound"),
        pytest.param(bytes(MAX_TEXT + 1), 100, id="claims less than it is"),
        pytest.param(b"[" * 100_000, 100_000, id="nested without end"),
        pytest.param(b"\xff\xfe", 2, id="not UTF-8"),
        pytest.param(b"{", 1, id="not JSON"),
    ],
)
def test_a_forged_text_is_refused(text, length):
    with pytest.raises(ChunkError):
        unpack_lines(forged(text, length))


def manifest(**changes):
    values = {
        "recipe": "r",
        "nodes": ("a", "b"),
        "reduced": 2,
        "raw": 4,
        "chunks": (ChunkEntry(2, 7, 9, 5), ChunkEntry(1, 8, 9, 6)),
        "record_ids": ("x", "y", "z"),
        "splits": (Split.TRAINING, Split.VALIDATION, Split.HELD_OUT),
    }
    return Manifest(**(values | changes))


def test_the_manifest_maps_both_ways():
    found = Manifest.decode(manifest().encode())
    assert found == manifest()
    assert [found.locate(name) for name in "xyz"] == [(0, 0), (0, 1), (1, 0)]
    assert [found.record_at(*found.locate(name)) for name in "xyz"] == ["x", "y", "z"]
    for place in ((0, 2), (2, 0), (0, -1), (-1, 0)):
        with pytest.raises(IndexError):
            found.record_at(*place)
    with pytest.raises(KeyError):
        found.locate("w")


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [{}, [], []],
        [{"version": 1}, [], []],
        ["text", 1, None],
        [{"version": 2, "nodes": ["a"], "chunks": [[1, 2, 3, 4]], "recipe": "r", "reduced": 1,
          "raw": 1}, ["x"], ["somewhere"]],
        [{"version": 2, "nodes": ["a"], "chunks": [[300, 2, 3, 4]], "recipe": "r", "reduced": 1,
          "raw": 1}, ["x"] * 300, ["training"] * 300],
        [{"version": 2, "nodes": ["a"], "chunks": [[2, 2, 3, 4]], "recipe": "r", "reduced": 1,
          "raw": 1}, ["x", "x"], ["training"] * 2],
        [{"version": 2, "nodes": [], "chunks": [[1, 2, 3, 4]], "recipe": "r", "reduced": 1,
          "raw": 1}, ["x"], ["training"]],
    ],
    ids=["empty", "hollow", "version", "types", "split", "chunk size", "twice", "no nodes"],
)  # fmt: skip
def test_a_malformed_manifest_is_refused(lines):
    with pytest.raises(ChunkError):
        Manifest.decode(pack_lines(lines))
