"""Packed lines of JSON: as they were, key order included."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_operator.traces.chunk import ChunkError
from cascade_operator.traces.packed import pack_lines, unpack_lines

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50)
@given(st.lists(JSON, min_size=1, max_size=4))
def test_documents_come_back(documents):
    assert unpack_lines(pack_lines(documents)) == documents


def test_keys_keep_their_order_since_prompts_show_them():
    document = {"function": {"name": "f", "description": "d", "arguments": {}}}
    (found,) = unpack_lines(pack_lines([document]))
    assert list(found["function"]) == ["name", "description", "arguments"]


@pytest.mark.parametrize("place", [0, 5, 12, -1])
def test_a_changed_byte_is_noticed(place):
    block = bytearray(pack_lines([{"a": 1}]))
    block[place] ^= 0x40
    with pytest.raises(ChunkError):
        unpack_lines(bytes(block))
