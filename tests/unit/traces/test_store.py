import numpy as np
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.backoff import NoBackoff
from redis.retry import Retry

from cascade_operator.api.errors import RunDataGone, ServiceUnavailable
from cascade_operator.api.keys import RunKeys
from cascade_operator.traces import store_writer
from cascade_operator.traces.layout import Layout, embed_traces
from cascade_operator.traces.record import Split
from cascade_operator.traces.redis_blocks import TTL_SECONDS
from cascade_operator.traces.store import TraceStore
from fakes.traces import record
from fakes.valkey import start_valkey

KEYS = RunKeys("uid-1", 3)
NODES = ("plan", "act")
COLUMNS = 5
SPLITS = tuple(Split)


def vectors(n, dims, seed):
    made = np.random.default_rng(seed).standard_normal((COLUMNS, n, dims))
    return made.astype(np.float16).astype(np.float32)


def written(client, n=5, **changes):
    store = TraceStore(client, KEYS)
    records = [record(number) for number in range(n)]
    values = {
        "records": records,
        "split": {r.record_id: SPLITS[i % 3] for i, r in enumerate(records)},
        "embeddings": vectors(n, 8, 1),
        "reduced": vectors(n, 4, 2),
        "recipe": "r",
        "nodes": NODES,
    }
    store.write(**(values | changes))
    return records


@pytest.fixture
def store(redis_client):
    """A store as another process opens it."""
    return TraceStore(redis_client, KEYS)


@pytest.mark.parametrize("n", [1, 5, 256, 257, 600])
def test_a_run_reads_what_prepare_wrote(redis_client, store, n):
    records = written(redis_client, n)
    assert store.record_ids() == tuple(r.record_id for r in records)
    found = store.records()
    assert [(f.record_id, f.inputs, f.outputs, f.validated, f.content_hash) for f in found] == [
        (r.record_id, r.inputs, r.outputs, r.validated, r.content_hash) for r in records
    ]
    raw, red = vectors(n, 8, 1), vectors(n, 4, 2)
    for position, node in enumerate(NODES):
        matrices = store.matrices(node)
        for offset, side in enumerate(("in", "out")):
            np.testing.assert_array_equal(matrices[side]["raw"], raw[2 * position + offset])
            np.testing.assert_array_equal(matrices[side]["red"], red[2 * position + offset])
    np.testing.assert_array_equal(store.validated_raw(), raw[4])
    sizes = [chunk.traces for chunk in store.manifest().chunks]
    assert max(sizes) <= 256
    assert max(sizes) - min(sizes) <= 2


def test_the_io_matrix_has_a_row_for_each_record_and_node(redis_client, store):
    written(redis_client, 300)
    red = vectors(300, 4, 2)
    inputs, outputs = store.build_io_matrix(("plan", "act"))
    assert inputs.shape == outputs.shape == (600, 4)
    assert inputs.dtype == np.float32
    for number in (0, 149, 150, 299):
        np.testing.assert_array_equal(inputs[2 * number], red[0, number])
        np.testing.assert_array_equal(inputs[2 * number + 1], red[2, number])
        np.testing.assert_array_equal(outputs[2 * number], red[1, number])
        np.testing.assert_array_equal(outputs[2 * number + 1], red[3, number])
    inputs, _ = store.build_io_matrix(("act",))
    np.testing.assert_array_equal(inputs, red[2])


def test_a_node_is_read_without_the_others(redis_client, store):
    written(redis_client, 256, embeddings=vectors(256, 256, 1), reduced=vectors(256, 64, 2))
    store.manifest()
    before = redis_client.info("stats")["total_net_output_bytes"]
    store.build_io_matrix(("plan",))
    taken = redis_client.info("stats")["total_net_output_bytes"] - before
    both_sides = 2 * 256 * 64 * 2
    # Besides them: the header, and the answer to INFO. All columns would be 12 times as much.
    assert both_sides <= taken < both_sides + 10_000


def test_splits_and_places(redis_client, store):
    written(redis_client, 5)
    assert store.record_ids(Split.VALIDATION) == ("r1", "r4")
    assert [r.record_id for r in store.records(Split.VALIDATION)] == ["r1", "r4"]
    assert store.locate("r3") == (0, 3)
    assert store.manifest().record_at(0, 3) == "r3"


def test_an_unknown_node_or_record(redis_client, store):
    written(redis_client)
    for ask in (
        lambda: store.matrices("other"),
        lambda: store.build_io_matrix(["plan", "other"]),
        lambda: store.locate("other"),
    ):
        with pytest.raises(KeyError, match="other"):
            ask()


def snapshot(client):
    return {key: client.get(key) for key in client.scan_iter()}


def test_writing_again_changes_nothing(redis_client):
    written(redis_client, 300)
    before = snapshot(redis_client)
    written(redis_client, 300)
    assert snapshot(redis_client) == before
    assert all(key.startswith(b"cascade:{uid-1}:3:") for key in before)


def test_only_the_nodes_of_the_cascade_are_stored(redis_client, store):
    records = [record(0)]
    TraceStore(redis_client, KEYS).write(
        records, {"r0": Split.TRAINING}, vectors(1, 8, 1)[:3], vectors(1, 4, 2)[:3], "r",
        nodes=("act",),
    )  # fmt: skip
    assert set(store.records()[0].inputs) == {"act"}


def test_use_renews_the_time_to_live(redis_client, store):
    written(redis_client)
    for key in redis_client.scan_iter():
        assert 0 < redis_client.ttl(key) <= TTL_SECONDS
        redis_client.expire(key, 100)
    store.records()
    store.validated_raw()
    assert {redis_client.ttl(key) > 1000 for key in redis_client.scan_iter()} == {True}


READS = {
    "manifest": lambda store: store.manifest(),
    "records": lambda store: store.records(),
    "io matrix": lambda store: store.build_io_matrix(NODES),
    "validated": lambda store: store.validated_raw(),
    "matrices": lambda store: store.matrices("plan"),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS.keys())
def test_nothing_there_is_run_data_gone(store, read):
    with pytest.raises(RunDataGone) as caught:
        read(store)
    assert caught.value.exit_code == 66


@pytest.mark.parametrize(("kind", "read"), [("vectors", "validated"), ("text", "records")])
def test_a_lost_chunk_is_run_data_gone(redis_client, store, kind, read):
    written(redis_client, 300)
    redis_client.delete(KEYS.chunk(kind, 1))
    with pytest.raises(RunDataGone, match=f"{kind}:1: it is missing"):
        READS[read](store)


def test_a_key_of_another_type_is_run_data_gone(redis_client, store):
    redis_client.lpush(KEYS.manifest(), "x")
    with pytest.raises(RunDataGone, match="another type"):
        store.records()


def test_chunks_of_another_write_are_not_mixed_in(redis_client, store):
    written(redis_client, 5, embeddings=vectors(5, 8, 7))
    other = redis_client.get(KEYS.chunk("vectors", 0))
    written(redis_client, 5)
    redis_client.set(KEYS.chunk("vectors", 0), other)
    with pytest.raises(RunDataGone, match="another write"):
        store.validated_raw()


@given(st.data())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_damage_anywhere_is_run_data_gone_or_harmless(redis_client, data):
    written(redis_client, 4)
    before = TraceStore(redis_client, KEYS)
    expected = (before.records(), before.build_io_matrix(NODES), before.validated_raw())
    key = data.draw(st.sampled_from(sorted(redis_client.keys())))
    value = bytearray(redis_client.get(key))
    if data.draw(st.booleans()):
        value = value[: data.draw(st.integers(0, len(value) - 1))]
    else:
        value[data.draw(st.integers(0, len(value) - 1))] ^= data.draw(st.integers(1, 255))
    redis_client.set(key, bytes(value))
    store = TraceStore(redis_client, KEYS)
    try:
        found = (store.records(), store.build_io_matrix(NODES), store.validated_raw())
    except RunDataGone:
        return
    assert found[0] == expected[0]
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_array_equal(found[2], expected[2])


def test_long_texts_fill_a_chunk_sooner(redis_client, store, monkeypatch):
    monkeypatch.setattr(store_writer, "_FLUSH_TEXT_BYTES", 1500)
    written(redis_client, 20)
    sizes = [chunk.traces for chunk in store.manifest().chunks]
    assert len(sizes) > 2
    assert sum(sizes) == 20
    assert [r.record_id for r in store.records()] == [f"r{n}" for n in range(20)]
    np.testing.assert_array_equal(store.validated_raw(), vectors(20, 8, 1)[4])


def test_shapes_that_do_not_fit(redis_client):
    with pytest.raises(ValueError, match="5, records"):
        written(redis_client, 5, embeddings=vectors(4, 8, 1))


def test_a_full_server_is_unavailable(redis_client):
    redis_client.config_set("maxmemory", 1)
    with pytest.raises(ServiceUnavailable, match="Redis refuses") as caught:
        written(redis_client)
    assert caught.value.exit_code == 69


def test_a_server_that_is_gone_is_unavailable(tmp_path_factory):
    with start_valkey(tmp_path_factory.mktemp("v")) as socket:
        client = redis.Redis(unix_socket_path=socket, retry=Retry(NoBackoff(), 0))
        written(client)
    with pytest.raises(ServiceUnavailable, match="does not answer"):
        TraceStore(client, KEYS).records()


class HashEmbedder:
    recipe, dimensions = "hash", 4

    def embed(self, texts):
        return np.array([[len(t), hash(t) % 97, 1, 0] for t in texts], np.float32)


def test_columns_are_embedded_in_the_chunks_order():
    records = [record(0), record(1)]
    found = embed_traces(records, NODES, HashEmbedder())
    assert found.shape == (COLUMNS, 2, 4)
    texts = Layout(NODES).texts(records[1])
    assert texts == [
        '{"request":"request 1"}',
        '{"brief":"brief 1"}',
        '{"brief":"brief 1"}',
        '{"call":{"arguments":{"n":1},"name":"f"}}',
        '{"call":{"arguments":{"n":1},"name":"f"}}',
    ]
    np.testing.assert_array_equal(found[:, 1], HashEmbedder().embed(texts))
