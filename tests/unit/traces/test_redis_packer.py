"""Commands as redis-py packs them, with large values left where they lie."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.connection import HiredisRespSerializer

from cascade_operator.traces.redis_packer import ViewPacker

WORDS = st.lists(
    st.binary(max_size=20) | st.text(max_size=8) | st.integers() | st.floats(allow_nan=False),
    max_size=5,
)


@given(WORDS, st.booleans())
def test_the_bytes_are_those_of_redis_py(words, as_views):
    usual = b"".join(HiredisRespSerializer().pack("SET", *words))
    given_words = [memoryview(w) if as_views and isinstance(w, bytes) else w for w in words]
    assert b"".join(ViewPacker().pack("SET", *given_words)) == usual


def test_a_large_view_is_not_copied():
    value = memoryview(bytearray(1 << 20))
    parts = ViewPacker().pack("SET", "key", value, "EX", 10)
    assert any(part is value for part in parts)


@pytest.mark.parametrize("value", [True, None, [1]], ids=["bool", "none", "list"])
def test_what_is_no_value_is_refused(value):
    with pytest.raises(TypeError, match="a command for Redis holds"):
        ViewPacker().pack("SET", "key", memoryview(b""), value)
