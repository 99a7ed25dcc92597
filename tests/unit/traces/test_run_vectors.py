"""A run's vectors in blocks: the same as whole where they fit, bounded where they do not."""

import hashlib
import weakref
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_operator.api.keys import RunKeys
from cascade_operator.traces import reduction
from cascade_operator.traces.layout import embed_traces
from cascade_operator.traces.record import Split
from cascade_operator.traces.reduction import fit_reduce
from cascade_operator.traces.run_vectors import Reduction, RunVectors
from cascade_operator.traces.store import TraceStore
from fakes.traces import record

NODES = ("plan", "act")
COLUMNS = 5
PCA = Reduction("PCA", 4, 7)


class TextEmbedder:
    """A pure function of the text; remembers how many texts each call had."""

    recipe, dimensions = "text", 8

    def __init__(self):
        self.calls = []

    def embed(self, texts):
        self.calls.append(len(texts))
        seeds = [int.from_bytes(hashlib.sha256(t.encode()).digest()[:4], "big") for t in texts]
        return np.array(
            [np.random.default_rng(seed).standard_normal(8) for seed in seeds], np.float32
        ).reshape(-1, 8)


def records(count):
    return [record(number) for number in range(count)]


def fitted(count, *, fit_rows, embedder=None, reduction=PCA, **options):
    vectors = RunVectors(
        records(count), NODES, embedder or TextEmbedder(), reduction, fit_rows=fit_rows, **options
    )
    vectors.embed()
    return vectors, vectors.fit()


def snapshot(client):
    return {key: client.get(key) for key in client.scan_iter()}


@pytest.fixture(autouse=True)
def _umap_at_once(monkeypatch):
    """UMAP's process takes half a minute; here the rows stay where they are."""
    monkeypatch.setattr(reduction, "fit_umap", lambda x, *, dims, **_: x[:, :dims].copy())


@pytest.mark.parametrize("method", ["PCA", "Matryoshka", "UMAP"])
def test_a_run_that_fits_is_written_as_it_always_was(redis_client, method):
    made = records(40)
    split = {r.record_id: Split.TRAINING for r in made}
    raw = embed_traces(made, NODES, TextEmbedder())
    whole, reduced = fit_reduce(raw.reshape(-1, 8), method, 4, 7)
    store = TraceStore(redis_client, RunKeys("u", 1))
    store.write(made, split, raw, reduced.reshape(COLUMNS, 40, 4), "text", nodes=NODES)
    before = snapshot(redis_client)
    redis_client.flushdb()
    vectors, reducer = fitted(40, fit_rows=40 * COLUMNS, reduction=Reduction(method, 4, 7))
    assert vectors.whole
    assert reducer.save_npz() == whole.save_npz()
    store.write_blocks(made, split, vectors.rows, "text", nodes=NODES)
    assert snapshot(redis_client) == before


@pytest.mark.parametrize("method", ["PCA", "Matryoshka", "UMAP"])
def test_a_larger_run_is_reduced_by_what_a_sample_was_fitted_on(method):
    how = Reduction(method, 4, 7)
    vectors, reducer = fitted(41, fit_rows=20 * COLUMNS, reduction=how)
    assert not vectors.whole
    if method == "UMAP":
        assert len(reducer.arrays["train"]) <= 20 * COLUMNS
    raw, reduced = vectors.rows(0, 41)
    np.testing.assert_array_equal(raw, embed_traces(records(41), NODES, TextEmbedder()))
    again = reducer.transform(raw.reshape(-1, 8)).reshape(COLUMNS, 41, 4)
    np.testing.assert_allclose(reduced, again, rtol=1e-4, atol=1e-6)


def test_the_sample_is_drawn_from_the_whole_run_and_alike_each_time():
    reducers = [fitted(200, fit_rows=20 * COLUMNS)[1] for _ in range(2)]
    assert reducers[0].save_npz() == reducers[1].save_npz()
    other = fitted(200, fit_rows=20 * COLUMNS, reduction=Reduction("PCA", 4, 8))[1]
    assert not np.array_equal(other.arrays["mean"], reducers[0].arrays["mean"])
    first = fitted(20, fit_rows=20 * COLUMNS)[1]
    assert not np.array_equal(first.arrays["mean"], reducers[0].arrays["mean"])


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(1, 49)), st.sampled_from([50, 17, 7, 1]))
def test_however_it_is_asked_for_the_vectors_are_the_same(cuts, size):
    vectors, _ = fitted(50, fit_rows=size * COLUMNS)
    bounds = [0, *sorted(cuts), 50]
    parts = [vectors.rows(low, high) for low, high in pairwise(bounds)]
    whole, _ = fitted(50, fit_rows=size * COLUMNS)
    for found, expected in zip(zip(*parts, strict=True), whole.rows(0, 50), strict=True):
        np.testing.assert_array_equal(np.concatenate(found, axis=1), expected)


def test_no_more_than_a_few_blocks_are_ever_alive(redis_client):
    count, size = 2205, 490  # chunks of 245, so that two are cut from a block without a copy
    embedder, blocks, most = TextEmbedder(), [], 0
    vectors, _ = fitted(count, fit_rows=size * COLUMNS, embedder=embedder)

    def rows(start, stop):
        nonlocal most
        raw, reduced = vectors.rows(start, stop)
        assert raw.base is not None
        blocks.append(weakref.ref(raw.base))
        most = max(most, len({id(b()) for b in blocks if b() is not None}))
        return raw, reduced

    made = records(count)
    split = {r.record_id: Split.TRAINING for r in made}
    store = TraceStore(redis_client, RunKeys("u", 1))
    store.write_blocks(made, split, rows, "text", nodes=NODES)
    assert len(blocks) == 9
    # The one that is cut from, and those that the chunks on their way were cut from.
    assert most <= 3
    assert max(embedder.calls) <= size * COLUMNS
    assert TraceStore(redis_client, RunKeys("u", 1)).validated_raw().shape == (count, 8)


def test_it_says_how_far_it_is_and_may_be_told_to_stop():
    seen = []
    vectors, _ = fitted(50, fit_rows=20 * COLUMNS, on_block=seen.append)
    vectors.rows(0, 50)
    assert seen == [0, 0, 20, 40]

    def stop(done):
        if done:
            raise KeyboardInterrupt

    vectors, _ = fitted(50, fit_rows=20 * COLUMNS, on_block=stop)
    vectors.rows(0, 20)
    with pytest.raises(KeyboardInterrupt):
        vectors.rows(20, 30)


def test_long_vectors_make_the_sample_smaller():
    class Wide(TextEmbedder):
        dimensions = 1 << 20

    vectors = RunVectors(records(50), NODES, Wide(), PCA)
    assert not vectors.whole


def test_steps_out_of_order_are_refused():
    vectors = RunVectors(records(3), NODES, TextEmbedder(), PCA)
    with pytest.raises(RuntimeError, match="embed comes before fit"):
        vectors.fit()
    with pytest.raises(RuntimeError, match="fit comes before rows"):
        vectors.rows(0, 1)
