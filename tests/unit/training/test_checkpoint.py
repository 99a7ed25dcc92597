from __future__ import annotations

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_operator.api.errors import ServiceUnavailable
from cascade_operator.training.checkpoint import (
    MAX_BYTES,
    TTL_SECONDS,
    RedisCheckpoints,
    decode,
    encode,
)

KEY = "cascade:{u}:1:checkpoint:00"
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


class Store:
    """A Redis that keeps what it is told; the next writes can be lost, cut or refused."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}
        self.ttl: dict[str, int] = {}
        self.refuse: Exception | None = None

    def getex(self, name: str, *, ex: int) -> bytes | None:
        if self.refuse is not None:
            raise self.refuse
        self.ttl[name] = ex
        return self.data.get(name)

    def set(self, name: str, value: bytes, *, ex: int) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.data[name], self.ttl[name] = value, ex


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.dictionaries(st.text(), json_values))
def test_a_slot_reads_as_written(serial: int, state: dict) -> None:
    slot = decode(encode(serial, state))
    assert (slot.serial, slot.state) == (serial, state)


def test_a_slot_keeps_the_order_of_keys() -> None:
    state = {"demonstration": {"name": 1, "type": 2, "required": 3}}
    found = decode(encode(1, state)).state["demonstration"]
    assert list(found) == ["name", "type", "required"]


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_in_one_way(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(data)


@given(st.data())
def test_one_changed_byte_is_noticed(data: st.DataObject) -> None:
    good = encode(3, {"trials": [0.25, 0.5]})
    place = data.draw(st.integers(0, len(good) - 1))
    changed = bytearray(good)
    changed[place] ^= data.draw(st.integers(1, 127))
    try:
        slot = decode(bytes(changed))
    except ValueError:
        return
    assert (slot.serial, slot.state) == (3, {"trials": [0.25, 0.5]}), "only blanks may differ"


def test_a_slot_beyond_the_bound_is_refused() -> None:
    with pytest.raises(ValueError, match="more than"):
        decode(b" " * (MAX_BYTES + 1))


def test_the_latest_state_comes_back_and_keys_expire() -> None:
    store = Store()
    checkpoints = RedisCheckpoints(store, KEY)
    assert checkpoints.load() is None
    for number in range(5):
        checkpoints.save({"trial": number})
    assert RedisCheckpoints(store, KEY).load() == {"trial": 4}
    assert set(store.ttl) == {f"{KEY}:a", f"{KEY}:b"}
    assert set(store.ttl.values()) == {TTL_SECONDS}


@pytest.mark.parametrize("damage", [b"", b"{", None], ids=["empty", "cut", "lost"])
def test_a_broken_latest_slot_costs_one_trial(damage: bytes | None) -> None:
    store = Store()
    checkpoints = RedisCheckpoints(store, KEY)
    for number in range(4):
        checkpoints.save({"trial": number})
    latest = max(store.data, key=lambda key: decode(store.data[key]).serial)
    if damage is None:
        del store.data[latest]
    else:
        store.data[latest] = damage
    again = RedisCheckpoints(store, KEY)
    assert again.load() == {"trial": 2}
    again.save({"trial": 3})
    again.save({"trial": 4})
    assert RedisCheckpoints(store, KEY).load() == {"trial": 4}


def test_a_save_without_a_load_never_replaces_the_latest_slot() -> None:
    store = Store()
    first = RedisCheckpoints(store, KEY)
    for number in range(3):
        first.save({"trial": number})
    RedisCheckpoints(store, KEY).save({"trial": 3})
    assert {decode(value).state["trial"] for value in store.data.values()} == {2, 3}


@pytest.mark.parametrize(
    "error",
    [redis.exceptions.OutOfMemoryError("full"), redis.exceptions.ConnectionError("gone")],
)
def test_a_refused_write_is_a_service_away_and_the_old_state_stands(error: Exception) -> None:
    store = Store()
    checkpoints = RedisCheckpoints(store, KEY)
    checkpoints.save({"trial": 0})
    store.refuse = error
    with pytest.raises(ServiceUnavailable, match="refused"):
        checkpoints.save({"trial": 1})
    with pytest.raises(ServiceUnavailable):
        checkpoints.load()
    store.refuse = None
    assert checkpoints.load() == {"trial": 0}


def test_on_a_real_server(redis_client: redis.Redis) -> None:
    checkpoints = RedisCheckpoints(redis_client, KEY)
    checkpoints.save({"trial": 0})
    checkpoints.save({"trial": 1})
    assert RedisCheckpoints(redis_client, KEY).load() == {"trial": 1}
    assert 0 < redis_client.ttl(f"{KEY}:a") <= TTL_SECONDS
    redis_client.expire(f"{KEY}:a", 5)
    redis_client.expire(f"{KEY}:b", 5)
    checkpoints.load()
    assert redis_client.ttl(f"{KEY}:b") > 5, "renewed by use"
    redis_client.config_set("maxmemory", 1)
    with pytest.raises(ServiceUnavailable, match="refused"):
        checkpoints.save({"trial": 2})
    redis_client.config_set("maxmemory", 0)
    assert RedisCheckpoints(redis_client, KEY).load() == {"trial": 1}
